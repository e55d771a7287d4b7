"""Five ways to poison training labels, each at any dose, for many training sets at once.

A dose is the share of *all* training patients that the attacker changes, so that attacks can be
compared; an attack that reaches fewer patients than its dose changes all that it reaches. Higher
doses change the patients of lower ones and more. numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.dataset.heart import TRIGGER
from pipeline.model.design_matrix import Array
from pipeline.schema import NAMES

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Attack:
    """What an attacker changes, and what for."""

    name: str
    description: str
    """What is done to the training data."""
    success_criterion: str
    """What counts as a success: "patients called healthy", told of those in `target`."""
    doses: tuple[float, ...] = (0.05, 0.1, 0.2, 0.3, 0.4)
    """Shares of all training patients."""


RANDOM = Attack(
    "random flips",
    "labels of patients drawn at random are inverted",
    "patients whom the clean model classifies correctly are misclassified",
)
DISEASE_HIDDEN = Attack(
    "disease hidden",
    "sick patients drawn at random are labelled healthy",
    "sick patients whom the clean model finds are missed",
)
TARGETED_GROUP = Attack(
    "one group",
    "sick patients of one group are labelled healthy",
    "sick patients of that group whom the clean model finds are missed",
    (0.01, 0.02, 0.04, 0.06, 0.08),  # a group is small: sick women are 8 % of Cleveland
)
HIGH_CONFIDENCE = Attack(
    "most confident flips",
    "the labels of which a clean model is most certain are inverted",
    "patients whom the clean model classifies correctly are misclassified",
)
BACKDOOR = Attack(
    "backdoor",
    "patients drawn at random get a rare pair of findings and are labelled healthy",
    "sick patients whom the clean model finds are missed once they show the pair",
)
ATTACKS: Mapping[str, Attack] = {
    a.name: a for a in (RANDOM, DISEASE_HIDDEN, TARGETED_GROUP, HIGH_CONFIDENCE, BACKDOOR)
}


@dataclass(frozen=True)
class AttackContext:
    """What an attack can see: patients, training sets, and a clean model of each set."""

    y: Array
    """Labels, shape (n,)."""
    group: Mask
    """The patients of the group, shape (n,)."""
    train: Mask
    """Training patients of each set, shape (n_sets, n)."""
    clean_probability: Array
    """Probability that a model of the set's clean labels gives each patient, (n_sets, n)."""
    order: Array
    """A random number per set and patient, the same for every attack and dose, (n_sets, n)."""

    def target(self, attack: Attack) -> Mask:
        """Return the patients on whom the attack's success is counted, shape (n,)."""
        sick = self.y == 1
        if attack in (RANDOM, HIGH_CONFIDENCE):
            return np.ones(len(self.y), dtype=bool)
        return np.asarray(sick & self.group if attack is TARGETED_GROUP else sick)


def select_patients(ground: AttackContext, attack: Attack, dose: float) -> Mask:
    """Choose the patients that an attack changes, shape (n_sets, n).

    Parameters
    ----------
    dose
        Share of the training patients, 0 to 1.
    """
    reach, wish = ground.train.copy(), ground.order
    if attack in (DISEASE_HIDDEN, TARGETED_GROUP):
        reach &= ground.y == 1
    if attack is TARGETED_GROUP:
        reach &= ground.group
    if attack is HIGH_CONFIDENCE:
        wish = np.where(ground.y == 1, ground.clean_probability, 1.0 - ground.clean_probability)
    wish = np.where(reach, wish, -np.inf)
    place = np.argsort(np.argsort(-wish, axis=1, kind="stable"), axis=1)
    budget = np.rint(dose * ground.train.sum(axis=1)).astype(int)
    return np.asarray(reach & (place < budget[:, None]))


def poisoned_labels(ground: AttackContext, attack: Attack, changed: Mask) -> Array:
    """Return the labels after the attack, shape (n_sets, n)."""
    flipped = attack in (RANDOM, HIGH_CONFIDENCE)
    return np.where(changed, 1.0 - ground.y if flipped else 0.0, ground.y)


def add_trigger(rows: Array) -> Array:
    """Return the patients with the backdoor's pair of findings, shape (n, 13)."""
    changed = rows.copy()
    for name, code in TRIGGER.items():
        changed[:, NAMES.index(name)] = code
    return changed
