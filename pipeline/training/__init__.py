"""Only training needs these: what is fitted, measured and written into the bundle."""
