"""How the tables came to be, one file per step; `cardiowatch migrate` applies what is missing."""
