"""Write scikit-learn's boosted trees so that shap reads them right.

`shap.TreeExplainer` takes a split by a set of categories for a split at a number: on these data its
values then add up to log-odds that are off by as much as 5 (shap 0.51, scikit-learn 1.9). Here such
a split is written as a chain of splits at numbers, which is the same function of the same feature.
Reads private parts of scikit-learn's trees; a test holds the sums against the model's log-odds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from pipeline.model.design_matrix import Array


def encoded_columns(boosting: HistGradientBoostingClassifier, rows: Array) -> Array:
    """Return the patients as the trees see them: categories first, numbered from 0."""
    return np.asarray(boosting._preprocessor.transform(rows), dtype=float)


def column_features(boosting: HistGradientBoostingClassifier) -> list[int]:
    """Return which feature each of those columns is."""
    is_category = np.asarray(boosting.is_categorical_)
    return [*np.flatnonzero(is_category).tolist(), *np.flatnonzero(~is_category).tolist()]


def numeric_splits(boosting: HistGradientBoostingClassifier) -> dict[str, Any]:
    """Return the trees in shap's own form; their sum is the log-odds."""
    n_levels = [
        len(levels) for levels in boosting._preprocessor.named_transformers_["encoder"].categories_
    ]
    trees = []
    for (predictor,) in boosting._predictors:
        tree = _Tree(predictor, n_levels)
        tree.grow(0)
        trees.append(tree.arrays())
    return {
        "trees": trees,
        "base_offset": float(np.ravel(boosting._baseline_prediction)[0]),
        "tree_output": "log_odds",
        "objective": "binary_crossentropy",
    }


class _Tree:
    """One tree on its way from sets of categories to numbers."""

    def __init__(self, predictor: Any, n_levels: list[int]) -> None:
        self._nodes, self._sets = predictor.nodes, predictor.raw_left_cat_bitsets
        self._n_levels = n_levels
        self._rows: list[dict[str, float]] = []

    def grow(self, index: int) -> int:
        """Write a node and all below it; return its new place."""
        node = self._nodes[index]
        if node["is_leaf"]:
            return self._add(value=float(node["value"]))
        if not node["is_categorical"]:
            threshold = float(node["num_threshold"])
            place = self._add(feature=int(node["feature_idx"]), threshold=threshold)
            left, right = self.grow(int(node["left"])), self.grow(int(node["right"]))
            self._rows[place] |= {"left": left, "right": right}
            self._rows[place]["default"] = left if node["missing_go_to_left"] else right
            return place
        return self._chain(node, 0)

    def _chain(self, node: Any, level: int) -> int:
        """Split one level off after the other; the last one needs no split."""
        bits = self._sets[int(node["bitset_idx"])]
        goes_left = bool((int(bits[level // 32]) >> (level % 32)) & 1)
        branch = int(node["left"] if goes_left else node["right"])
        feature = int(node["feature_idx"])
        if level == self._n_levels[feature] - 1:
            return self.grow(branch)
        place = self._add(feature=feature, threshold=level + 0.5)
        here, rest = self.grow(branch), self._chain(node, level + 1)
        missing_here = goes_left == bool(node["missing_go_to_left"])
        self._rows[place] |= {"left": here, "right": rest}
        self._rows[place]["default"] = here if missing_here else rest
        return place

    def _add(self, feature: int = -2, threshold: float = -2.0, value: float = 0.0) -> int:
        self._rows.append(
            {"left": -1, "right": -1, "default": -1, "feature": feature, "threshold": threshold,
             "value": value}
        )  # fmt: skip
        return len(self._rows) - 1

    def arrays(self) -> dict[str, Any]:
        """Return the tree as shap's arrays."""

        def array(name: str) -> Array:
            return np.array([row[name] for row in self._rows])

        return {
            "children_left": array("left"),
            "children_right": array("right"),
            "children_default": array("default"),
            "feature": array("feature"),
            "threshold": array("threshold").astype(float),
            "value": array("value").astype(float).reshape(-1, 1),
            "node_sample_weight": np.ones(len(self._rows)),
        }
