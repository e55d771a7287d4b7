"""The same model as a scikit-learn pipeline: what the scorecard is fitted with and compared to.

Heavy imports; only `pipeline.train` and the tests come here.
"""

from __future__ import annotations

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pipeline.model.design_matrix import Array, round_coefficients, standardise
from pipeline.model.logistic_regression import TOLERANCE
from pipeline.schema import FEATURES, Feature
from pipeline.training.imputation import augment_with_missingness


def fit_sklearn_pipeline(rows: Array, y: Array, c: float) -> Pipeline:
    """Fit the champion with scikit-learn and put its rounded numbers back.

    Parameters
    ----------
    rows
        The training patients, un-augmented, shape (n, 13), UCI codes, NaN = missing.
    y
        0.0 or 1.0, shape (n,).
    c
        Inverse strength of the L2 penalty.

    Returns
    -------
    Pipeline
        `columns` makes the design matrix in the order of `pipeline.model.design_matrix.COLUMNS`,
        `regression` holds the coefficients, rounded as the scorecard stores them.
    """
    columns = ColumnTransformer([(f.name, _transformer(f), [i]) for i, f in enumerate(FEATURES)])
    columns.fit(rows)
    center, scale = standardise(rows)
    for i, feature in enumerate(FEATURES):
        if feature.is_numeric:
            _put_back(columns.named_transformers_[feature.name], center[i], scale[i])
    copies, weights = augment_with_missingness(rows)
    regression = LogisticRegression(C=c, solver="newton-cholesky", tol=TOLERANCE, max_iter=100)
    regression.fit(
        columns.transform(copies),
        np.tile(y, len(weights)),
        sample_weight=np.repeat(weights, len(rows)),
    )
    regression.coef_ = round_coefficients(regression.coef_)
    regression.intercept_ = round_coefficients(regression.intercept_)
    return Pipeline([("columns", columns), ("regression", regression)])


def coefficients(pipeline: Pipeline) -> Array:
    """Return the intercept and the coefficients, in the order of the scorecard's sets."""
    regression = pipeline.named_steps["regression"]
    return np.concatenate([regression.intercept_, regression.coef_[0]])


def _transformer(feature: Feature) -> FeatureUnion | Pipeline | OneHotEncoder:
    """Make the columns of one feature: its value or levels, and a missing indicator."""
    if not feature.is_numeric:
        levels = [float(code) for code in feature.codes.values()]
        unknown = [] if feature.required else [np.nan]
        return OneHotEncoder(categories=[levels + unknown], sparse_output=False)
    value = make_pipeline(
        SimpleImputer(strategy="mean", keep_empty_features=True), StandardScaler()
    )
    if feature.required:
        return value
    return FeatureUnion([("value", value), ("unknown", MissingIndicator(features="all"))])


def _put_back(transformer: FeatureUnion | Pipeline, center: float, scale: float) -> None:
    """Write the rounded mean and standard deviation into imputer and scaler."""
    is_union = isinstance(transformer, FeatureUnion)
    value = transformer.transformer_list[0][1] if is_union else transformer
    value.named_steps["simpleimputer"].statistics_ = np.array([center])
    value.named_steps["standardscaler"].mean_ = np.array([center])
    value.named_steps["standardscaler"].scale_ = np.array([scale])
