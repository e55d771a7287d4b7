from __future__ import annotations

import numpy as np

from pipeline.dataset.duplicates import first_of_each, occur_in, without_duplicates

NAN = np.nan
A = [63.0, 1, 1, 145, 233, 1, 2, 150, 0, 2.3, 3, 0, 6]
B = [67.0, 1, 4, 160, 286, 0, 2, 108, 1, 1.5, 2, 3, NAN]


def test_a_row_that_equals_an_earlier_one_has_its_place_missing_cells_included() -> None:
    assert first_of_each(np.array([A, B, A, B, B])).tolist() == [0, 1, 0, 1, 1]


def test_one_of_each_is_kept_in_order_where_the_labels_agree() -> None:
    rows, y = without_duplicates(np.array([B, A, B, B]), np.array([1.0, 0.0, 1.0, 0.0]))
    assert y.tolist() == [1.0, 0.0, 0.0]
    assert rows[:, 0].tolist() == [67.0, 63.0, 67.0]


def test_a_patient_is_found_again_with_a_cell_blanked_and_not_with_one_changed() -> None:
    blanked, changed, bare = list(A), list(A), [*A[:7], *[NAN] * 6]
    blanked[4], changed[4] = NAN, 234.0
    rows = np.array([B, blanked, changed, bare])
    assert occur_in(rows, np.array([A])).tolist() == [False, True, False, False]
