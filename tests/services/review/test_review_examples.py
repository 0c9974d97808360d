"""Visual examples in a review: shown in words, ticked by people, and carried along with moved regions."""

from typing import Any

import pytest
from factories import make_row
from hypothesis import given
from review_samples import asked_row, shown_images

from fo1_data.dataset.corrections.apply import apply_corrections
from schemas.corrections import Correction, CorrectionAction
from schemas.images import ImageRow
from schemas.labels import LabelKind
from services.label_studio.annotated import parse_result
from services.label_studio.convert import ls_task, result_of
from services.label_studio.shapes import box_to_percent
from services.label_studio.shown import ShownImage, ShownPhrase
from services.label_studio.shown_from_rows import shown_image
from services.review.inbox.differences import corrections_of
from services.review.inbox.submission import Submission

BY = Submission("key/1", "ann@example.org", "2026-01-02T03:04:05.000006Z", 12.5)
SIZE = (200, 150)
Result = list[dict[str, Any]]


@pytest.fixture
def row() -> ImageRow:
    return asked_row(make_row(5, 3, *SIZE))


@pytest.fixture
def shown(row: ImageRow) -> ShownImage:
    return shown_image(row)


def corrections_about(shown: ShownImage, result: Result, *kinds: LabelKind) -> list[Correction]:
    """The corrections of those kinds."""
    corrections = corrections_of(shown, parse_result(result, shown), BY)
    return [correction for correction in corrections if correction.kind in kinds]


def test_an_example_is_shown_in_words_that_lead_back(row: ImageRow, shown: ShownImage) -> None:
    like, kind = "more like box 1 (red square)", LabelKind.GROUND
    for text in (like, f"{like} (visual example, p1)"):
        shown.phrases.append(ShownPhrase(kind=kind, phrase=text, marks=[], region_ids=[]))

    choices = ls_task(shown, "k", "u", "m")["data"]["phrases"]

    assert [(entry["alias"], entry["value"]) for entry in choices] == [
        ("p0", shown.phrases[0].phrase),
        ("p1", f"{like} (visual example, p1)"),
        ("p2", f"{like} (ground, p2)"),
        ("p3", f"{like} (visual example, p1) (ground, p3)"),
    ]
    assert ls_task(shown_image(row), "k", "u", "m")["data"]["phrases"][1]["value"] == like


@given(shown_images())
def test_no_two_phrases_read_the_same(shown: ShownImage) -> None:
    choices = ls_task(shown, "k", "u", "m")["data"]["phrases"]

    assert len({entry["value"] for entry in choices}) == len(choices)
    assert not any(f"{shown.image_id[:16]}/" in entry["value"] for entry in choices)


@pytest.mark.parametrize("by_alias", [True, False])
def test_what_is_ticked_is_found_by_alias_and_by_words(shown: ShownImage, by_alias: bool) -> None:
    """A phrase may look like another's alias: an alias goes first, as Label Studio writes it."""
    shown.phrases[0] = shown.phrases[0].model_copy(update={"phrase": "p1"})
    (choice,) = [
        entry for entry in ls_task(shown, "k", "u", "m")["data"]["phrases"] if entry["alias"] == "p1"
    ]
    value = {"choices": [choice["alias"] if by_alias else choice["value"]]}
    result = [entry for entry in result_of(shown) if entry["from_name"] == "box"]
    result.append({"id": shown.regions[2].mark, "from_name": "phrases", "value": value})

    assert parse_result(result, shown).regions[shown.regions[2].mark].phrases == {"p1"}


def test_regions_like_an_example_follow_moved_ones(row: ImageRow, shown: ShownImage) -> None:
    """The example itself is moved; the one like it is, too; a third one is ticked, and the example itself."""
    result = result_of(shown)
    for entry in result:
        for place, left in ((0, 3.25), (1, 20.5)):
            if entry["id"] == shown.regions[place].mark:
                entry["value"] |= box_to_percent((left, 4.5, left + 50, 80.0), *SIZE)
    for place in (0, 2):
        mark, value = shown.regions[place].mark, {"choices": ["p0", "p1"] if place == 0 else ["p1"]}
        result = [entry for entry in result if (entry["id"], entry["from_name"]) != (mark, "phrases")]
        result.append({"id": mark, "from_name": "phrases", "value": value})

    corrections = corrections_of(shown, parse_result(result, shown), BY)
    (changed,) = [correction for correction in corrections if correction.kind is LabelKind.VISUAL_EXAMPLE]
    applied = apply_corrections(row, corrections)

    assert (changed.action, changed.subject) == (CorrectionAction.REGROUNDED, row.regions[0].region_id)
    assert changed.before is not None
    assert changed.before.region_ids == [row.regions[1].region_id]
    assert not applied.left_out
    (example,) = [part for part in applied.row.groundings if part.kind is LabelKind.VISUAL_EXAMPLE]
    assert example.phrase == applied.row.regions[0].region_id != row.regions[0].region_id
    assert example.region_ids == [applied.row.regions[1].region_id, applied.row.regions[2].region_id]
    assert applied.row.regions[1].region_id != row.regions[1].region_id


def test_of_an_example_that_is_deleted_nothing_is_said(row: ImageRow, shown: ShownImage) -> None:
    result = [entry for entry in result_of(shown) if entry["id"] != shown.regions[0].mark]

    assert not corrections_about(shown, result, LabelKind.VISUAL_EXAMPLE)
