"""Large images in review: in parts, each with a view of the image; corrections are in pixels of the image."""

import json

import pytest
from factories import make_row
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.dataset.corrections.latest import latest
from schemas.corrections import Correction, CorrectionAction, CorrectionValue, annotation_key
from schemas.images import ImageRow
from schemas.labels import LabelKind
from schemas.regions import Box
from services.label_studio.annotated import parse_result
from services.label_studio.convert import ls_task, result_of
from services.label_studio.shown_from_rows import shown_image
from services.review.inbox.boxes import STILL_PX
from services.review.inbox.differences import corrections_of
from services.review.inbox.submission import Submission
from services.review.outbox.batches import with_view
from services.review.outbox.parts import MOST_REGIONS, PART_PX, parts_of

BY = Submission("key/1", "ann@example.org", "2026-01-02T03:04:05.000006Z", 12.5)
SIDE = 20_000


def large_row(boxes: list[Box]) -> ImageRow:
    """A row of a large image with these regions; its file is a small one, which nobody opens here."""
    return make_row(1, boxes=boxes).model_copy(update={"width": SIDE, "height": SIDE})


corners = st.integers(0, SIDE - 1)
sides = st.integers(1, 400) | st.integers(1, SIDE)


@st.composite
def boxes_of_large_images(draw: st.DrawFn) -> Box:
    x, y = draw(corners), draw(corners)
    return (x, y, min(x + draw(sides), SIDE), min(y + draw(sides), SIDE))


@settings(max_examples=100, deadline=None)
@given(st.lists(boxes_of_large_images(), min_size=1, max_size=12, unique=True))
def test_every_text_is_asked_in_one_part_and_every_view_holds_its_boxes(boxes: list[Box]) -> None:
    row = large_row(boxes)
    parts = list(parts_of(row))

    asked = [region.region_id for part in parts for region in part.row.regions if region.labels]
    assert sorted(asked) == sorted(region.region_id for region in row.regions)
    assert len({part.name for part in parts}) == len(parts)
    groundings = [part.row.groundings for part in parts if part.row.groundings]
    assert groundings == [row.groundings]
    for part in parts:
        assert part.view_xyxy is not None
        left, top, right, bottom = part.view_xyxy
        assert 0 <= left < right <= SIDE
        assert 0 <= top < bottom <= SIDE
        for region in part.row.regions:
            x_min, y_min, x_max, y_max = region.box_xyxy
            assert left <= x_min < x_max <= right
            assert top <= y_min < y_max <= bottom


@settings(max_examples=50, deadline=None)
@given(st.lists(boxes_of_large_images(), min_size=1, max_size=6, unique=True))
def test_a_part_that_is_left_alone_changes_nothing(boxes: list[Box]) -> None:
    for part in parts_of(large_row(boxes)):
        shown = shown_image(part.row)
        shown.view_xyxy = part.view_xyxy
        result = json.loads(json.dumps(result_of(shown)))

        corrections = corrections_of(shown, parse_result(result, shown), BY)

        assert {correction.action for correction in corrections} <= {CorrectionAction.VERDICT}
        assert all(correction.right for correction in corrections)


def test_a_box_that_is_moved_in_a_view_is_moved_in_the_image() -> None:
    box = (15_000.0, 12_000.0, 15_060.0, 12_040.0)
    part = next(iter(parts_of(large_row([box]))))
    shown = shown_image(part.row)
    shown.view_xyxy = part.view_xyxy
    width, height = shown.picture_wh
    task = ls_task(shown, "key", with_view("http://service.test/v1/images/a?grant=g", part.view_xyxy), "m")

    assert (width, height) < (300, 300)
    assert task["data"]["image"].endswith("&view=14936,11936,15125,12105")
    result = task["predictions"][0]["result"]
    assert {entry.get("original_width") for entry in result if "original_width" in entry} == {width}
    for entry in result:
        if "x" in entry["value"]:
            entry["value"]["x"] += 10 / width * 100
    moved = corrections_of(shown, parse_result(result, shown), BY)[0]
    assert moved.action is CorrectionAction.MOVED
    assert moved.after is not None
    assert moved.after.box_xyxy == pytest.approx((15_010, 12_000, 15_070, 12_040), abs=STILL_PX)


def test_an_image_of_usual_size_is_one_part_as_it_is() -> None:
    row = make_row(1, num_regions=3)

    (part,) = parts_of(row)

    assert (part.row, part.name, part.view_xyxy) == (row, "", None)
    assert with_view("http://service.test/a", None) == "http://service.test/a"


def test_a_crowded_cell_is_divided_until_a_person_can_see_its_boxes() -> None:
    step, per_row = 10, 60
    boxes: list[Box] = [
        (step * (number % per_row), step * (number // per_row), step * (number % per_row) + 8.0,
         step * (number // per_row) + 8.0)
        for number in range(3 * MOST_REGIONS)
    ]  # fmt: skip

    parts = [part for part in parts_of(large_row(boxes)) if any(region.labels for region in part.row.regions)]

    assert len(parts) >= 4
    assert max(len(part.row.regions) for part in parts) <= MOST_REGIONS
    assert PART_PX > 600


def correction_of(part: str, at: str, text: str) -> Correction:
    return Correction(
        image_id="a" * 64,
        action=CorrectionAction.RECAPTIONED,
        kind=LabelKind.BRIEF_CAPTION,
        region_id=f"{text}/1-1-2-2",
        after=CorrectionValue(text=text),
        at=at,
        as_of=at,
        annotation_key=annotation_key("review", part, 7),
    )


def test_what_is_said_of_one_part_leaves_what_was_said_of_another() -> None:
    earlier = correction_of("0-0-1024-1024", "2026-01-01T00:00:00Z", "one")
    other = correction_of("1024-0-2048-1024", "2026-01-02T00:00:00Z", "two")
    again = correction_of("0-0-1024-1024", "2026-01-03T00:00:00Z", "three")

    assert {correction.review for correction in (earlier, other)} == {"review"}
    assert latest([earlier, other]) == [earlier, other]
    assert latest([earlier, other, again]) == [other, again]
