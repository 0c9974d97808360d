"""To Label Studio and back: nothing that a reviewer leaves alone changes, in any frame."""

import io
import json
from pathlib import Path

import pytest
from factories import make_row
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from review_samples import boxes, edited, make_shown, shown_images

from fo1_data.corpus.images import InputLimits, decode_rgb
from schemas.corrections import CorrectionAction
from schemas.labels import Decision, Label, LabelKind, Source
from services.label_studio.annotated import parse_result
from services.label_studio.convert import ls_task, result_of
from services.label_studio.counts import counts_text, parse_counts
from services.label_studio.labelling_config import CONFIG
from services.label_studio.shapes import box_to_percent, percent_to_box
from services.label_studio.shown import ShownCount, ShownImage, unpack
from services.label_studio.shown_from_rows import doubt_of, shown_image
from services.review.inbox.boxes import STILL_PX
from services.review.inbox.differences import corrections_of
from services.review.inbox.submission import Submission

BY = Submission("key/1", "ann@example.org", "2026-01-02T03:04:05.000006Z", 12.5)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(1, 200_000), st.integers(1, 200_000))
def test_a_box_comes_back_where_it_was(data: st.DataObject, width: int, height: int) -> None:
    box = data.draw(boxes(width, height))

    percent = box_to_percent(box, width, height)

    assert 0 <= percent["x"] <= percent["x"] + percent["width"] <= 100 + 1e-12
    assert 0 <= percent["y"] <= percent["y"] + percent["height"] <= 100 + 1e-12
    back = percent_to_box(json.loads(json.dumps(percent)), width, height)
    assert back == pytest.approx(box, abs=STILL_PX / 10)


@settings(max_examples=150, deadline=None)
@given(shown_images())
def test_an_annotation_without_an_edit_confirms_everything_and_changes_nothing(shown: ShownImage) -> None:
    shown = unpack(shown.packed())
    result = json.loads(json.dumps(result_of(shown)))

    corrections = corrections_of(shown, parse_result(result, shown), BY)

    assert {correction.action for correction in corrections} <= {CorrectionAction.VERDICT}
    assert all(correction.right for correction in corrections)
    texts = sum(len(region.texts) for region in shown.regions)
    parts = len(shown.phrases) + bool(shown.caption) + len(shown.counts) + len(shown.answers)
    assert len(corrections) == texts + parts


@pytest.mark.parametrize("orientation", range(1, 9))
def test_percentages_are_of_the_upright_image(orientation: int, tmp_path: Path) -> None:
    """A stored image whose one bright patch is turned by EXIF: the box of the upright frame covers it."""
    upright = Image.new("RGB", (40, 24))
    upright.paste((255, 255, 255), (4, 2, 14, 8))
    back = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = upright if back is None else upright.transpose(Image.Transpose(back))
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    stored.save(buffer, "PNG", exif=exif)

    seen = decode_rgb(buffer.getvalue(), InputLimits())
    percent = box_to_percent((4, 2, 14, 8), seen.width, seen.height)

    assert (seen.width, seen.height) == (40, 24)
    left, top = percent["x"] * seen.width / 100, percent["y"] * seen.height / 100
    wide, high = percent["width"] * seen.width / 100, percent["height"] * seen.height / 100
    assert seen.rgb.getpixel((round(left), round(top))) == (255, 255, 255)
    assert seen.rgb.getpixel((round(left + wide) - 1, round(top + high) - 1)) == (255, 255, 255)
    assert seen.rgb.getpixel((round(left + wide), round(top + high))) == (0, 0, 0)


def test_a_turned_box_becomes_the_upright_one_around_it() -> None:
    value = {"x": 50, "y": 50, "width": 20, "height": 10, "rotation": 90}

    assert percent_to_box(value, 200, 100) == pytest.approx((90.0, 50.0, 100.0, 90.0))


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"x": "1"},
        {"x": 0, "y": 0, "width": float("nan"), "height": 1},
        {"x": 120, "y": 0, "width": 5, "height": 5},
    ],
)
def test_what_has_no_box_in_the_image_is_no_region(value: dict[str, object]) -> None:
    assert percent_to_box(value, 100, 100) is None


def test_boxes_past_the_border_are_clipped() -> None:
    assert percent_to_box({"x": -5, "y": 90, "width": 10, "height": 20}, 200, 100) == (0.0, 90.0, 10.0, 100.0)


def test_what_is_shown_of_a_row() -> None:
    row = make_row(3, 2, decisions=[Decision.REVIEW])
    row.regions[0].labels[0].reasons = ["low margin"]
    row.regions[0].labels[0].confidence = 0.25
    row.regions[0].labels.append(Label(kind=LabelKind.OCR, text="", source=Source.MODEL))
    row.regions[1] = row.regions[0].model_copy(update={"region_id": f"{row.regions[0].region_id}/2"})

    shown, blind = shown_image(row), shown_image(row, blind=True)

    assert [region.mark for region in shown.regions] == [
        row.regions[0].region_id,
        f"{row.regions[0].region_id}/2",
    ]
    assert shown.regions[0].reasons == ["low margin"]
    assert shown.regions[0].texts == {LabelKind.BRIEF_CAPTION: "red square", LabelKind.OCR: ""}
    assert shown.score == pytest.approx(0.25)
    assert doubt_of(row) == pytest.approx(0.75)
    assert not any(region.reasons for region in blind.regions)
    assert "confidence" not in json.dumps(ls_task(blind, "k", "http://x/y", "m"))


def test_a_task_carries_key_reasons_and_a_prediction_of_one_id_a_region() -> None:
    shown = make_shown(reasons=["ground: low margin"])

    task = ls_task(shown, "k-1", "http://x/y.png", "fo1-tiny-ab")

    assert task["data"]["fo1_key"] == "k-1"
    assert task["data"]["why"] == "ground: low margin"
    (prediction,) = task["predictions"]
    assert prediction["model_version"] == "fo1-tiny-ab"
    assert 0 <= prediction["score"] <= 1
    of_first = [
        entry["from_name"] for entry in prediction["result"] if entry["id"] == shown.regions[0].region_id
    ]
    assert of_first == ["box", "brief_caption", "phrases"]
    for entry in prediction["result"]:
        assert f'name="{entry["from_name"]}"' in CONFIG


def test_phrases_that_read_the_same_stay_apart() -> None:
    shown = make_shown()
    shown.phrases.append(shown.phrases[0].model_copy(update={"kind": LabelKind.DETECT, "marks": []}))

    choices = ls_task(shown, "k", "u", "m")["data"]["phrases"]

    assert len({entry["value"] for entry in choices}) == 2
    annotated = parse_result(edited(shown), shown)
    assert annotated.regions[shown.regions[0].mark].phrases == {"p0"}


@given(st.dictionaries(st.text(st.characters(categories=("L", "N")), min_size=1), st.integers(0, 10**6)))
def test_counts_are_read_as_they_are_written(counts: dict[str, int]) -> None:
    shown = [ShownCount(phrase=phrase, count=count, region_ids=[]) for phrase, count in counts.items()]
    assert parse_counts(counts_text(shown), counts).numbers == counts
