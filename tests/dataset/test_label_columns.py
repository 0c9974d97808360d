"""The columns of labels say what the labels of the rows say one by one."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from routed_labels import ROUTED_ROWS

from fo1_data.dataset.human_labels import is_locked
from fo1_data.dataset.label_columns import LabelColumns, Mask
from fo1_data.dataset.row_batches import rows_to_batch
from schemas.images import ImageRow
from schemas.labels import Decision, Label, LabelKind

STATEMENTS: dict[str, tuple[Callable[[LabelColumns], Mask], Callable[[Label], bool]]] = {
    "accepted": (lambda labels: labels.is_accepted, lambda label: label.is_accepted),
    "unreviewed": (lambda labels: labels.is_unreviewed, lambda label: label.is_unreviewed),
    "locked": (lambda labels: labels.is_locked, is_locked),
    "confidence": (lambda labels: labels.has_confidence, lambda label: label.confidence is not None),
    "in review": (
        lambda labels: labels.is_decided(Decision.REVIEW),
        lambda label: label.decision is Decision.REVIEW,
    ),
    "reason": (lambda labels: labels.has_reason("why"), lambda label: "why" in label.reasons),
    "counts": (
        lambda labels: labels.is_kind(LabelKind.COUNT, LabelKind.ASK),
        lambda label: label.kind in (LabelKind.COUNT, LabelKind.ASK),
    ),
}


@pytest.mark.parametrize("statement", STATEMENTS)
@settings(max_examples=15, deadline=None)
@given(rows=st.lists(ROUTED_ROWS, min_size=1, max_size=4))
def test_a_column_says_what_each_label_says(statement: str, rows: list[ImageRow]) -> None:
    labels = LabelColumns(rows_to_batch(rows))
    of_columns, of_label = STATEMENTS[statement]
    expected = [sum(map(of_label, row.answered_labels())) for row in rows]
    assert labels.num_by_row(of_columns(labels)).tolist() == expected
    assert labels.num_by_row().tolist() == [len(row.answered_labels()) for row in rows]


@settings(max_examples=15, deadline=None)
@given(st.lists(ROUTED_ROWS, min_size=1, max_size=3))
def test_texts_and_confidences_are_those_of_the_labels(rows: list[ImageRow]) -> None:
    labels = LabelColumns(rows_to_batch(rows))
    given_labels = [label for row in rows for label in row.answered_labels()]
    everything = np.ones(len(labels.rows), bool)
    assert sorted(labels.texts(everything).to_pylist()) == sorted(label.text for label in given_labels)
    confidences = [label.confidence for label in given_labels if label.confidence is not None]
    assert sorted(labels.confidence[labels.has_confidence].tolist()) == sorted(confidences)
