"""Long calculations in worker processes."""
