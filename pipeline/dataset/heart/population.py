"""Whom the file that comes with the code is of, which it does not say itself.

Source: Detrano et al. (1989), American Journal of Cardiology 64:304.
"""

HOSPITAL = "the Cleveland Clinic"
YEARS = "1981-1984"
