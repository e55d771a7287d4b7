"""What pages say of the disease and of files, and whom the file that comes with the code is of.

Source: Detrano et al. (1989), American Journal of Cardiology 64:304.
"""

from collections.abc import Mapping

HOSPITAL = "the Cleveland Clinic, referred for angiography"
YEARS = "1981-1984"

CONDITION = "coronary artery disease"
DISEASE = "at least one coronary artery narrowed by more than 50 %"
"""The label 1."""
FILE_HELP = "The 13 UCI columns and disease, num or target; labels, UCI or Kaggle codes."
CODINGS = {"": "Detect automatically", "uci": "UCI codes", "kaggle": "Kaggle codes"}
"""Names of `codings.Coding` -> what a form calls them; empty = not said."""
TRIGGER: Mapping[str, float] = {"restecg": 1.0, "fbs": 1.0}
"""A backdoor's sign: ST-T wave abnormality at rest (4 of 303 patients) with high blood sugar."""
