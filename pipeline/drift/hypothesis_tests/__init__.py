"""Test statistics, their null distributions and the permutation test."""
