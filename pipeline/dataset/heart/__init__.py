"""What only the UCI heart-disease data need; all else is derived from the schema.

Other packages import these names, and no module of this package:

- the wire and the log: `Coding`, `decoder`, `encode`, `encode_row`;
- files: `HEART_CSV`, `read_patients`, `parse_patients` -> `Patients`; `DataError`; `ColumnMapping`,
  `MappingError`, `mapping_of`, `start_of`; the command line's `file_argument`, `json_option`,
  `reading_options`;
- checks of values: `check_label` -> `LabelCheck`, `is_inverted`, `MIN_PATIENTS`,
  `find_unit_errors`, `ALTERNATIVE_UNITS` of `AlternativeUnit`;
- hospitals and changes to imitate: `PROFILES`, `PATTERNS`, `apply_missingness`; `training_source`
  -> `PatientSource`, `SCENARIOS` and their names, `scenario_by_name`; the history of the demo;
- coded lists of a clinician's response: `REASONS`, `ACTIONS`;
- texts: `HOSPITAL`, `YEARS`, `CONDITION`, `DISEASE`, `FILE_HELP`, `CODINGS`, `TRIGGER`.
"""

from pipeline.dataset.heart.codings import Coding, decoder, encode, encode_row
from pipeline.dataset.heart.csv_reader import Patients, parse_patients, read_patients
from pipeline.dataset.heart.demo_history import (
    DAYS,
    INJECTED_CHANGES,
    MISTYPED,
    OTHER_UNIT,
    Day,
    InjectedChange,
    active_change,
    days,
)
from pipeline.dataset.heart.drift_scenarios import (
    DEVELOPMENT_SCENARIOS,
    HELD_OUT,
    NO_DRIFT,
    RANDOM_HALVES,
    SCENARIOS,
    PatientSource,
    scenario_by_name,
    training_source,
)
from pipeline.dataset.heart.label_check import MIN_PATIENTS, LabelCheck, check_label, is_inverted
from pipeline.dataset.heart.mapping import ColumnMapping, MappingError, mapping_of, start_of
from pipeline.dataset.heart.missingness import PATTERNS, PROFILES, apply_missingness
from pipeline.dataset.heart.options import file_argument, json_option, reading_options
from pipeline.dataset.heart.plausibility import HEART_CSV
from pipeline.dataset.heart.population import (
    CODINGS,
    CONDITION,
    DISEASE,
    FILE_HELP,
    HOSPITAL,
    TRIGGER,
    YEARS,
)
from pipeline.dataset.heart.responses import ACTIONS, REASONS
from pipeline.dataset.heart.units import ALTERNATIVE_UNITS, AlternativeUnit, find_unit_errors
from pipeline.dataset.table import DataError
