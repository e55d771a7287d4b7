"""Estimates with intervals that several packages need."""
