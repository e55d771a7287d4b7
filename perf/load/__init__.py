"""Clients, servers and requests for load tests."""
