"""Seals, hash chains and chain heads; verification that no row was altered, removed or inserted."""
