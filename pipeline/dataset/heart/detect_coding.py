"""Which coding were a file's integer codes written in: UCI, Kaggle, or no telling.

`cp=1` is "typical angina" in a UCI file and "atypical angina" in a Kaggle file. Some codes occur in
one of the two only; they name a candidate. It is accepted when the decoded values are plausible
together (`plausibility`): a file that counts its codes from 0 has such codes, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.dataset.heart.codings import Coding, decoder
from pipeline.dataset.heart.mapping import OPEN, start_of
from pipeline.dataset.heart.plausibility import implausible
from pipeline.schema import BY_NAME, NAMES

if TYPE_CHECKING:
    import pandas as pd

CODED = ("cp", "restecg", "slope", "ca", "thal")
"""Where UCI and Kaggle codes differ."""
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
FROM_ZERO: Mapping[str, Mapping[float, float]] = {
    "cp": {0: 1, 1: 2, 2: 3, 3: 4},
    "slope": {0: 1, 1: 2, 2: 3},
    "thal": {0: 3, 1: 6, 2: 7},
}
"""Codes of files that count the words in the order of UCI from 0 -> UCI codes."""
# A slip of the pen (one thal = 0 in a UCI file) must not hide the coding of all other rows.
MAX_MISCODED_SHARE = 0.02
# In Kaggle coding thal = 0 is "missing" (2 of 303 rows); a file that counts its words from 0 has
# it for every second patient and never has a 3.
MIN_ZERO_SHARE = 0.05
_MAX_CODES = 8  # more different values are no codes


@dataclass(frozen=True)
class Detection:
    """The coding of a file's codes, and why."""

    coding: Coding | None
    """None = cannot tell."""
    reason: str
    contradiction: str = ""
    """What speaks against a coding that was named."""


def to_uci(
    raw: pd.DataFrame, coding: Coding | Mapping[str, Mapping[float, float]], worded: Collection[str]
) -> pd.DataFrame:
    """Decode every column; a code that does not exist in the coding becomes NaN.

    Parameters
    ----------
    raw
        The thirteen columns as written, NaN = missing.
    coding
        A coding, or tables that differ from UCI's.
    worded
        Columns that were written in words and hold UCI codes.
    """
    import pandas as pd  # only when a file is read

    decoded = {}
    for name in NAMES:
        feature, column = BY_NAME[name], raw[name]
        named = coding if isinstance(coding, Coding) else Coding.UCI
        used = Coding.UCI if name in worded or named is Coding.LABELS else named
        table = decoder(feature, used)
        if not isinstance(coding, Coding) and name in coding and name not in worded:
            table = {int(code): uci for code, uci in coding[name].items()}
        if table is not None:
            column = column.map({float(k): v for k, v in table.items()}).astype(float)
        elif feature.zero_is_missing:
            column = column.mask(column == 0)
        decoded[name] = column
    return pd.DataFrame(decoded)


def detect_coding(
    raw: pd.DataFrame,
    disease: pd.Series | None,
    worded: Collection[str] = (),
    named: Coding | None = None,
    reference: pd.DataFrame | None = None,
) -> Detection:
    """Return the coding of numeric codes, and why.

    Parameters
    ----------
    raw
        The thirteen columns as written, NaN = missing.
    disease
        1.0 = disease; None = no label whose direction is known.
    worded
        Columns that were written in words.
    named
        The coding that the caller named: it is used, whatever speaks against it.
    reference
        As `plausibility.implausible` takes it.
    """
    names = [name for name in CODED if name not in worded and raw[name].notna().any()]
    if named is not None:
        against = _against(raw, disease, worded, names, named, reference)
        return Detection(named, "named by the caller", against)
    if set(names) <= {"ca"} and not (raw["ca"] > 3).any():
        return Detection(Coding.LABELS, "no column is written in codes")
    uci, uci_words = _count(raw[names], UCI_ONLY_CODES)
    kaggle, kaggle_words = _count(raw[names], KAGGLE_ONLY_CODES)
    coding = None
    if uci == kaggle == 0:
        evidence = "no code occurs that only UCI or only Kaggle files have"
    elif kaggle <= MAX_MISCODED_SHARE * uci:
        coding, evidence = Coding.UCI, f"codes that only UCI files have: {uci_words}"
    elif uci > MAX_MISCODED_SHARE * kaggle:
        evidence = f"codes of both codings occur: UCI {uci_words}; Kaggle {kaggle_words}"
    else:
        coding, evidence = Coding.KAGGLE, f"codes that only Kaggle files have: {kaggle_words}"
    tried: Mapping[str, Coding | Mapping[str, Mapping[float, float]]] = {
        "UCI": Coding.UCI, "Kaggle": Coding.KAGGLE, "counted from 0": FROM_ZERO
    }  # fmt: skip
    reasons = {
        title: _against(raw, disease, worded, names, each, reference)
        for title, each in tried.items()
    }
    possible = [title for title, text in reasons.items() if not text]
    if not set(names) & set(FROM_ZERO):  # the third is then the first
        possible = [title for title in possible if title != "counted from 0"]
    if coding is None and len(possible) == 1 and possible[0] in ("UCI", "Kaggle"):
        coding = Coding(possible[0].lower())
        evidence = next(f"not {t}: {text}" for t, text in reasons.items() if text)
    if coding and not reasons["UCI" if coding is Coding.UCI else "Kaggle"]:
        return Detection(coding, evidence)
    return Detection(None, f"{evidence}. {_candidates(raw, reasons, names)}")


def _against(
    raw: pd.DataFrame,
    disease: pd.Series | None,
    worded: Collection[str],
    names: list[str],
    coding: Coding | Mapping[str, Mapping[float, float]],
    reference: pd.DataFrame | None,
) -> str:
    """Say what speaks against a coding; empty = nothing does."""
    if coding is Coding.KAGGLE and _zero_based(raw[names]):
        return "thal is often 0 and never 3, as where words are counted from 0"
    features = to_uci(raw, coding, worded)
    for name in names:
        unread = raw[name].notna() & features[name].isna()
        if coding is Coding.KAGGLE:  # which has codes for missing
            unread &= raw[name] != {"ca": 4, "thal": 0}.get(name)
        if unread.sum() > MAX_MISCODED_SHARE * raw[name].notna().sum():
            code = raw[name][unread].value_counts().idxmax()
            return f"it has no {name} {code:g} ({_rows(int((raw[name] == code).sum()))})"
    return "; ".join(implausible(features, disease, names, reference))


def _candidates(raw: pd.DataFrame, against: Mapping[str, str], names: list[str]) -> str:
    """List the codings that people use, what speaks against each, and how to decide."""
    listed = "; ".join(f"{title}: {text or 'possible'}" for title, text in against.items())
    coded = {name: sorted(raw[name].dropna().unique()) for name in FROM_ZERO if name in names}
    few = {name: codes for name, codes in coded.items() if len(codes) <= _MAX_CODES}
    meanings = FROM_ZERO if not against["counted from 0"] else {}
    words = {
        name: {f"{c:g}": _word(name, meanings.get(name, {}).get(c)) for c in codes}
        for name, codes in few.items()
    }
    return (
        f"Candidates: {listed}. Decide with --coding uci, --coding kaggle or a file for --mapping, "
        f"which begins {start_of(values=words)}"
    )


def _word(name: str, uci: float | None) -> str:
    return OPEN if uci is None else BY_NAME[name].code_labels[int(uci)]


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
                words.append(f"{name} {value} ({_rows(n)})")
    return total, ", ".join(words)


def _rows(n: int) -> str:
    return f"{n} row{'s' * (n != 1)}"


def _zero_based(codes: pd.DataFrame) -> bool:
    if "thal" not in codes:
        return False
    thal = codes["thal"].dropna()
    shares = thal.value_counts(normalize=True)
    has_others = bool(thal.isin([1, 2]).any())
    return has_others and 3 not in shares and float(shares.get(0, 0.0)) >= MIN_ZERO_SHARE
