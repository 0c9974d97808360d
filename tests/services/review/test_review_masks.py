"""Masks as brush results: untouched they change nothing; painted over they are corrections of the mask."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from factories import make_dataset, make_row
from faster_coco_eval.core import mask as coco
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fo1_data.dataset.corrections.apply import apply_corrections
from fo1_data.errors import DatasetError
from fo1_data.masks import Mask, encode_mask
from schemas.corrections import Correction, CorrectionAction
from schemas.images import ImageRow
from schemas.regions import Box, MaskRle
from schemas.reviews import ReviewOptions
from services.label_studio.annotated import parse_result
from services.label_studio.brushes import brush_value, is_same_mask, painted_mask
from services.label_studio.convert import result_of
from services.label_studio.fields import ProjectFields, parse_fields
from services.label_studio.labelling_config import MASK, label_config
from services.label_studio.shown import ShownImage, fields_of, unpack
from services.label_studio.shown_from_rows import shown_image
from services.review.inbox.agreement import SAME, agreement
from services.review.inbox.belief import Origin, believed_corrections, doubt_about
from services.review.inbox.differences import corrections_of
from services.review.inbox.submission import Submission
from services.review.outbox.plan import plan_items

BY = Submission("key/1", "ann@example.org", "2026-01-02T03:04:05.000006Z", 12.5)
WH = (64, 48)
OF_ANOTHER_IMAGE = encode_mask(np.ones((9, 9), bool))
BOXES: list[Box] = [(4.2, 3.1, 20.7, 19.9), (30.0, 10.0, 50.0, 40.0)]


def disc(x: float, y: float, radius: float) -> Mask:
    ys, xs = np.mgrid[: WH[1], : WH[0]]
    return np.asarray((xs - x) ** 2 + (ys - y) ** 2 <= radius**2)


def masked_row(folder: Path | None = None) -> ImageRow:
    """A row whose first region has a mask, the second none."""
    row = make_row(3, width=WH[0], height=WH[1], boxes=BOXES, folder=folder)
    row.regions[0].mask_rle = encode_mask(disc(12, 11, 7))
    return row


def told(shown: ShownImage, result: list[dict[str, Any]]) -> list[Correction]:
    return corrections_of(shown, parse_result(json.loads(json.dumps(result)), shown), BY)


def painted(shown: ShownImage, mask: Mask) -> list[dict[str, Any]]:
    """What a browser sends once the first region is this mask."""
    result = result_of(shown)
    result[0]["value"] |= brush_value(encode_mask(mask))
    return result


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 60), st.integers(1, 60))))
def test_a_mask_comes_back_bit_for_bit(mask: Mask) -> None:
    rle = encode_mask(mask)
    back = painted_mask(json.loads(json.dumps(brush_value(rle))), (mask.shape[1], mask.shape[0]))
    assert back == (rle if mask.any() else None)


def test_a_long_run_comes_back() -> None:
    mask = np.zeros((300, 700), bool)
    mask[10:290, 5:690] = True
    assert painted_mask(brush_value(encode_mask(mask)), (700, 300)) == encode_mask(mask)


@pytest.mark.parametrize(
    "rle", [None, "0", [1, 2], [255] * 8, [0, 0, 48, 0, 0, 0, 0], [0.5] * 9, [0, 0, 48, 0, 57, 27, 254]]
)
def test_what_is_no_brush_is_not_read(rle: Any) -> None:
    assert painted_mask({"rle": rle}, WH) is None


def test_masks_are_shown_only_where_asked() -> None:
    row = masked_row()
    plain, masked = shown_image(row), shown_image(row, masks=True)
    assert MASK not in fields_of(plain)
    assert MASK in fields_of(masked)
    assert [part["type"] for part in result_of(plain) if part["type"].endswith("labels")] == [
        "rectanglelabels"
    ] * 2
    assert sorted(part["type"] for part in result_of(masked) if part["type"].endswith("labels")) == [
        "brushlabels",
        "rectanglelabels",
    ]


@pytest.mark.parametrize(
    "mask",
    [OF_ANOTHER_IMAGE, encode_mask(np.zeros(WH[::-1], bool)), MaskRle(size=[48, 64], counts="\x00")],
)
def test_a_mask_that_cannot_be_painted_is_shown_as_its_box(mask: MaskRle) -> None:
    row = masked_row()
    row.regions[0].mask_rle = mask
    assert [region.mask_rle for region in shown_image(row, masks=True).regions] == [None, None]


def test_untouched_masks_are_confirmed_and_the_row_stays() -> None:
    row = masked_row()
    shown = unpack(shown_image(row, masks=True).packed())
    corrections = told(shown, result_of(shown))
    assert {(part.action, part.right) for part in corrections} == {(CorrectionAction.VERDICT, True)}
    merged = apply_corrections(row, corrections).row
    assert [(r.box_xyxy, r.mask_rle) for r in merged.regions] == [
        (r.box_xyxy, r.mask_rle) for r in row.regions
    ]


def test_a_mask_painted_over_is_moved_with_the_box_around_it() -> None:
    row = masked_row()
    shown, mask = shown_image(row, masks=True), disc(15, 11, 7)
    corrections = told(shown, painted(shown, mask))
    (moved,) = (part for part in corrections if part.action is CorrectionAction.MOVED)
    assert moved.before is not None
    assert moved.after is not None
    assert (moved.before.box_xyxy, moved.before.mask_rle) == (
        row.regions[0].box_xyxy,
        row.regions[0].mask_rle,
    )
    assert moved.after.mask_rle == encode_mask(mask)
    assert moved.after.box_xyxy == (8, 4, 23, 19)

    merged = apply_corrections(row, corrections)
    assert merged.left_out == []
    region = merged.row.regions[0]
    assert (region.box_xyxy, region.mask_rle) == ((8, 4, 23, 19), encode_mask(mask))
    assert region.brief_caption == row.regions[0].brief_caption
    assert merged.row.regions[1].box_xyxy == row.regions[1].box_xyxy


def test_a_hole_changes_the_mask_within_the_same_box() -> None:
    row = masked_row()
    first = told(shown_image(row, masks=True), painted(shown_image(row, masks=True), disc(15, 11, 7)))
    moved = apply_corrections(row, first).row
    shown, hole = shown_image(moved, masks=True), disc(15, 11, 7) & ~disc(15, 11, 2)
    later = replace(BY, at="2026-02-02T03:04:05.000006Z", annotation_key="other/1")
    corrections = corrections_of(shown, parse_result(painted(shown, hole), shown), later)
    region = apply_corrections(row, [*first, *corrections]).row.regions[0]
    assert (region.box_xyxy, region.mask_rle) == (moved.regions[0].box_xyxy, encode_mask(hole))


def test_a_painted_mask_of_another_image_is_left_out_of_the_merge() -> None:
    row = masked_row()
    shown = shown_image(row, masks=True)
    (moved,) = (
        part for part in told(shown, painted(shown, disc(15, 11, 7))) if part.action is CorrectionAction.MOVED
    )
    assert moved.after is not None
    after = moved.after.model_copy(update={"mask_rle": OF_ANOTHER_IMAGE})
    other = moved.model_copy(update={"after": after})
    assert apply_corrections(row, [other]).left_out == [other]


def test_a_new_mask_is_a_new_region() -> None:
    row = masked_row()
    shown = shown_image(row, masks=True)
    new = {**result_of(shown)[0], "id": "drawn"}
    new["value"] = brush_value(encode_mask(disc(40, 24, 5))) | {"brushlabels": ["region"]}
    region = apply_corrections(row, told(shown, [*result_of(shown), new])).row.regions[-1]
    assert (region.box_xyxy, region.mask_rle) == ((35, 19, 46, 30), encode_mask(disc(40, 24, 5)))


def test_a_mask_that_is_erased_whole_is_no_deletion() -> None:
    shown = shown_image(masked_row(), masks=True)
    annotated = parse_result(painted(shown, np.zeros(WH[::-1], bool)), shown)
    origin = Origin(ProjectFields(parse_fields(label_config(fields_of(shown)))), from_prediction=True)
    doubt = doubt_about(shown, annotated, corrections_of(shown, annotated, BY), BY, origin, ())
    assert doubt is not None
    assert (doubt.reason, "the mask" in doubt.words) == ("partly_read", True)


def test_masks_of_a_field_that_was_removed_are_not_deleted() -> None:
    shown = shown_image(masked_row(), masks=True)
    pushed = parse_fields(label_config(fields_of(shown)))
    fields = ProjectFields({name: part for name, part in pushed.items() if name != MASK}, pushed)
    result = [part for part in result_of(shown) if part["id"] != shown.regions[0].mark]
    annotated = parse_result(result, shown)
    changed = sorted(fields.changed_of(shown, annotated.fields))
    assert changed == [MASK]
    corrections = believed_corrections(shown, annotated, BY, changed)
    assert all(part.action is not CorrectionAction.DELETED for part in corrections)


def test_people_agree_on_a_mask_by_its_pixels() -> None:
    shown = shown_image(masked_row(), masks=True)
    same, ring = (
        parse_result(painted(shown, mask), shown)
        for mask in (disc(12, 11, 7), disc(12, 11, 7) & ~disc(12, 11, 5))
    )
    assert agreement(same, same) == SAME
    assert agreement(same, ring) < SAME


def test_run_lengths_may_be_written_in_several_ways() -> None:
    ones = [
        coco.frPyObjects({"size": [4, 5], "counts": counts}, 4, 5)
        for counts in ([3, 6, 11], [3, 2, 0, 4, 11])
    ]
    one, other = (MaskRle(size=[4, 5], counts=rle["counts"].decode()) for rle in ones)
    assert one != other
    assert is_same_mask(one, other)
    assert not is_same_mask(one, encode_mask(np.ones((4, 5), bool)))


def test_a_dataset_without_masks_and_tracks_with_masks_are_refused(tmp_path: Path) -> None:
    make_dataset(tmp_path / "d", [make_row(folder=tmp_path / "images")])
    with pytest.raises(DatasetError, match="has no masks to review"):
        next(plan_items(str(tmp_path / "d"), "rev", "key", ReviewOptions(masks=True)))
    with pytest.raises(ValueError, match="masks"):
        ReviewOptions(tracks=True, masks=True)


def test_options_of_older_reviews_are_stored_as_before() -> None:
    assert "masks" not in ReviewOptions().stored()
    assert ReviewOptions(masks=True).stored()["masks"] is True


@pytest.mark.parametrize("error", [OverflowError, ValueError, IndexError])
def test_a_brush_that_cannot_be_read_is_no_mask(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(rle: object) -> None:
        raise error("out of bounds")

    value = brush_value(encode_mask(np.ones((4, 6), bool)))
    assert painted_mask(value, (6, 4)) is not None
    monkeypatch.setattr("label_studio_sdk.converter.brush.decode_rle", fail)
    assert painted_mask(value, (6, 4)) is None
