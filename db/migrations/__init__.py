"""How the tables came to be, one file per step; `python -m db.migrate` applies what is missing."""
