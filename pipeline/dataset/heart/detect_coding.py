"""Which coding were a file's integer codes written in: UCI, Kaggle, or no telling.

`cp=1` is "typical angina" in a UCI file and "atypical angina" in a Kaggle file. Some codes occur in
one of the two only; they decide. A file without any of them is not guessed at.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from pipeline.dataset.heart.codings import Coding

UCI_ONLY_CODES: Mapping[str, frozenset[int]] = {
    "cp": frozenset({4}),
    "slope": frozenset({3}),
    "thal": frozenset({6, 7}),
}
KAGGLE_ONLY_CODES: Mapping[str, frozenset[int]] = {
    "cp": frozenset({0}),
    "slope": frozenset({0}),
    "ca": frozenset({4}),
    "thal": frozenset({0, 1, 2}),
}
# A slip of the pen (one thal = 0 in a UCI file) must not hide the coding of all other rows.
MAX_MISCODED_SHARE = 0.02
# In Kaggle coding thal = 0 is "missing" (2 of 303 rows); a file that counts its words from 0 has
# it for every second patient and never has a 3.
MIN_ZERO_SHARE = 0.05


def detect_coding(codes: pd.DataFrame) -> tuple[Coding | None, str]:
    """Return the coding of numeric codes, and why.

    Parameters
    ----------
    codes
        The columns among cp, slope, ca and thal that hold numbers, NaN = missing.

    Returns
    -------
    tuple
        `Coding.UCI`, `Coding.KAGGLE` or None for "cannot tell", and one sentence of evidence.
    """
    uci, uci_words = _count(codes, UCI_ONLY_CODES)
    kaggle, kaggle_words = _count(codes, KAGGLE_ONLY_CODES)
    if uci == kaggle == 0:
        return None, "no code occurs that only UCI or only Kaggle files have"
    if kaggle <= MAX_MISCODED_SHARE * uci:
        return Coding.UCI, f"codes that only UCI files have: {uci_words}"
    if uci > MAX_MISCODED_SHARE * kaggle:
        return None, f"codes of both codings occur: UCI {uci_words}; Kaggle {kaggle_words}"
    if _zero_based(codes):
        return None, "thal is often 0 and never 3: words counted from 0, neither UCI nor Kaggle"
    return Coding.KAGGLE, f"codes that only Kaggle files have: {kaggle_words}"


def _count(codes: pd.DataFrame, telling: Mapping[str, frozenset[int]]) -> tuple[int, str]:
    """Count the cells that decide for a coding, and list them as "cp 4 (12 rows)"."""
    total, words = 0, []
    for name, values in telling.items():
        if name not in codes:
            continue
        for value in sorted(values):
            n = int((codes[name] == value).sum())
            if n:
                total += n
                words.append(f"{name} {value} ({n} row{'s' if n > 1 else ''})")
    return total, ", ".join(words)


def _zero_based(codes: pd.DataFrame) -> bool:
    if "thal" not in codes:
        return False
    thal = codes["thal"].dropna()
    shares = thal.value_counts(normalize=True)
    has_others = bool(thal.isin([1, 2]).any())
    return has_others and 3 not in shares and float(shares.get(0, 0.0)) >= MIN_ZERO_SHARE
