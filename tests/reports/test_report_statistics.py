"""A report counts by columns what counting label by label gives, and not the texts of the corpus."""

import math
import re
from collections import Counter
from pathlib import Path

from factories import make_dataset, make_label, make_row
from hypothesis import given, settings
from hypothesis import strategies as st
from routed_labels import ROUTED_ROWS

from fo1_data.confidence.review_cost import ReviewEffort
from fo1_data.dataset.counting import CAPTION_KINDS, count_row
from fo1_data.dataset.label_columns import LabelColumns
from fo1_data.dataset.label_parts import label_parts
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.row_batches import rows_to_batch
from fo1_data.evaluation.faults import Faults
from fo1_data.reports.row_summary import summarise_rows
from fo1_data.reports.statistics import Statistics
from fo1_data.reports.trust import TrustFigures
from schemas.images import ImageRow
from schemas.labels import Decision, LabelKind, Source


def statistics_of(rows: list[ImageRow]) -> Statistics:
    statistics = Statistics()
    batch = rows_to_batch(rows)
    statistics.add(batch, LabelColumns(batch))
    return statistics


def test_texts_of_the_corpus_do_not_count_as_captions() -> None:
    row = make_row(num_regions=1)
    counts = count_row(row)
    row.regions[0].labels.append(
        make_label(LabelKind.DETAILED_CAPTION, "a text of the corpus of many words", source=Source.CORPUS)
    )
    assert list(statistics_of([row]).captions) == [row.regions[0].brief_caption]
    assert count_row(row) == counts


@settings(max_examples=25, deadline=None)
@given(st.lists(ROUTED_ROWS, min_size=1, max_size=4))
def test_distributions_are_those_of_the_labels_one_by_one(rows: list[ImageRow]) -> None:
    statistics = statistics_of(rows)
    labels = [label for row in rows for label in row.answered_labels()]
    captions = [label.text for label in labels if label.kind in CAPTION_KINDS]
    assert statistics.regions_per_image == Counter(len(row.regions) for row in rows)
    assert statistics.caption_words == Counter(len(text.split()) for text in captions)
    assert statistics.captions == Counter(text.strip() or "(empty)" for text in captions)
    words = [word.lower() for text in captions for word in re.findall("[A-Za-z]{2,}", text)]
    assert statistics.words == Counter(word for word in words if word not in ("it",))
    confidences = [label.confidence for label in labels if label.confidence is not None]
    assert statistics.confidences == Counter(min(9, int(value * 10)) for value in confidences)
    sides = []
    for row in rows:
        for x_min, y_min, x_max, y_max in (region.box_xyxy for region in row.regions):
            sides.append(math.sqrt((x_max - x_min) * (y_max - y_min) / (row.width * row.height)))
    assert statistics.box_sizes == Counter(min(9, int(side * 10)) for side in sides)


@settings(max_examples=25, deadline=None)
@given(st.lists(ROUTED_ROWS, min_size=1, max_size=4), st.integers(1, 3))
def test_figures_of_trust_are_those_of_the_rows_one_by_one(rows: list[ImageRow], batch_rows: int) -> None:
    trust, effort = TrustFigures(), ReviewEffort()
    for start in range(0, len(rows), batch_rows):
        trust.add(LabelColumns(rows_to_batch(rows[start : start + batch_rows])))
    for row in rows:
        effort.add(row)
    parts = [list(label_parts(row)) for row in rows]
    assert trust.effort == effort
    assert trust.kinds == {part.kind for of_row in parts for part in of_row}
    outside = [sum(part.label.decision is not Decision.REVIEW for part in of_row) for of_row in parts]
    assert trust.most_labels == max(1, *outside)
    assert trust.num_unreviewed == sum(label.is_unreviewed for row in rows for label in row.answered_labels())


def test_the_rows_to_show_have_most_mistakes_then_the_lowest_ids(tmp_path: Path) -> None:
    rows = [make_row(seed, 1) for seed in range(12)]
    make_dataset(tmp_path / "d", rows, rows_a_shard=5)
    dataset = open_dataset(str(tmp_path / "d"))
    stored = list(dataset.rows())
    lowest = sorted(row.image_id for row in stored)[:4]
    assert [row for row, _ in summarise_rows(dataset, 4).shown] == [
        row for row in stored if row.image_id in lowest
    ]

    def judge(row: ImageRow) -> Faults | None:
        if row in (stored[3], stored[9]):
            return Faults(counts={"bars": 2}, missed_xyxy=[(0, 0, 1, 1)] * (row == stored[9]), num_judged=1)
        return None

    summary = summarise_rows(dataset, 3, judge)
    rest = next(row for row in sorted(stored, key=lambda row: row.image_id) if judge(row) is None)
    assert [row for row, _ in summary.shown] == [stored[9], stored[3], rest]
    assert [faults is None for _, faults in summary.shown] == [False, False, True]
    assert (summary.mistakes.num_images, summary.mistakes.num_missed) == (2, 1)
    assert summarise_rows(dataset, 0).shown == []
