"""A folder for each page: `page.py` reads as a recipe."""
