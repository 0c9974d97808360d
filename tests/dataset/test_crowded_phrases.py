"""Phrases that name more boxes than a reviewer is shown are counted, and a push says so."""

from pathlib import Path

import pytest
from factories import make_dataset, make_row

from fo1_data.cli.review import _phrases_not_asked, review_text
from fo1_data.dataset.crowded_phrases import num_crowded_phrases
from schemas.images import Grounding, ImageRow
from schemas.labels import Label, LabelKind
from services.review.outbox.parts import MOST_REGIONS, parts_of


def row_with_phrases(number: int, *lengths: int) -> ImageRow:
    row = make_row(number, num_regions=max(lengths))
    row.groundings = [
        Grounding(
            phrase=f"phrase {length}",
            kind=LabelKind.DETECT,
            region_ids=[region.region_id for region in row.regions[:length]],
            label=Label(kind=LabelKind.DETECT, text=f"phrase {length}"),
        )
        for length in lengths
    ]
    return row


def test_a_push_counts_what_the_parts_leave_out(tmp_path: Path) -> None:
    rows = [row_with_phrases(0, 2, MOST_REGIONS, MOST_REGIONS + 1), row_with_phrases(1, 3)]
    make_dataset(tmp_path / "ds", rows)
    asked = sum(len(part.row.groundings) for row in rows for part in parts_of(row))
    assert sum(len(row.groundings) for row in rows) - asked == 1
    assert num_crowded_phrases(str(tmp_path / "ds"), MOST_REGIONS) == 1
    assert _phrases_not_asked(str(tmp_path / "ds")) == 1
    assert _phrases_not_asked(str(tmp_path / "nowhere")) is None


@pytest.mark.parametrize(("number", "line"), [(1, "not asked    1 phrase: "), (0, None), (None, None)])
def test_the_line_of_a_push(number: int | None, line: str | None) -> None:
    review = {
        "id": "rev",
        "state": "open",
        "project_url": None,
        "items": {"total": 1},
        "annotations": {},
        "set_aside": [],
        "phrases_not_asked": number,
    }
    none = ("changed_fields", "agreement", "seconds_per_item", "error", "honeypots", "held_back", "reviewed")
    review |= dict.fromkeys(none) | {"corrections": {}, "ignored": {}, "annotators": []}
    text = review_text(review)
    assert (line in text) if line else ("not asked" not in text)
