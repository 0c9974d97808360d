"""An oriented box shows the same pixels, and unusable boxes are rejected with a reason."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fo1_data.boxes import as_boxes
from fo1_data.corpus.frames import FRAME_GUESS, orient_boxes, oriented_entry
from fo1_data.corpus.images import TRANSPOSE_OF_ORIENTATION, DecodedImage
from schemas.corpus import CorpusImage, CorpusPhrase, CorpusRegion

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


def decoded(stored_wh: tuple[int, int], orientation: int, pixels: Image.Image | None = None) -> DecodedImage:
    stored = pixels or Image.new("RGB", stored_wh)
    method = TRANSPOSE_OF_ORIENTATION.get(orientation)
    rgb = stored if method is None else stored.transpose(method)
    return DecodedImage("a" * 64, rgb, rgb.width, rgb.height, orientation, stored_wh)


def entry_of(*boxes: tuple[float, float, float, float], **fields: object) -> CorpusImage:
    return CorpusImage(
        uri="/x.jpg", regions=[CorpusRegion(box_xyxy=b, label=str(i)) for i, b in enumerate(boxes)], **fields
    )


def boxes_of(entry: CorpusImage) -> list[tuple[float, float, float, float]]:
    return [region.box_xyxy for region in entry.regions or []]


@given(wh=SIZES, orientation=st.integers(1, 8), data=st.data())
def test_an_oriented_box_shows_the_same_pixels(
    wh: tuple[int, int], orientation: int, data: st.DataObject
) -> None:
    width, height = wh
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    stored = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right, bottom = data.draw(st.integers(left + 1, width)), data.draw(st.integers(top + 1, height))
    image = decoded(wh, orientation, stored)
    oriented, rejects = oriented_entry(entry_of((left, top, right, bottom)), image, "stored")
    assert not rejects
    shown = image.rgb.crop(tuple(int(v) for v in boxes_of(oriented)[0]))
    original = decoded((1, 1), orientation, stored.crop((left, top, right, bottom))).rgb
    assert np.array_equal(np.asarray(shown), np.asarray(original))


@given(wh=SIZES, orientation=st.integers(1, 8))
def test_orienting_keeps_fractions_and_sizes(wh: tuple[int, int], orientation: int) -> None:
    boxes = as_boxes([(0.25, 0.5, wh[0] - 0.125, wh[1])])
    oriented = orient_boxes(boxes, wh, orientation)
    sides = [oriented[0, 2] - oriented[0, 0], oriented[0, 3] - oriented[0, 1]]
    assert sorted(sides) == sorted([boxes[0, 2] - boxes[0, 0], boxes[0, 3] - boxes[0, 1]])


@pytest.mark.parametrize(
    ("declared", "frame", "is_stored"),
    [
        ((60, 40), "auto", True),
        ((40, 60), "auto", False),
        ((None, None), "auto", True),
        ((60, 0), "auto", True),
        ((40, 60), "stored", True),
        ((60, 40), "oriented", False),
    ],
)
def test_the_declared_size_decides_the_frame(
    declared: tuple[int | None, int | None], frame: str, is_stored: bool
) -> None:
    entry = entry_of((0, 0, 10, 20), width=declared[0], height=declared[1])
    oriented, _ = oriented_entry(entry, decoded((60, 40), 6), frame)  # type: ignore[arg-type]
    expected = (20.0, 0.0, 40.0, 10.0) if is_stored else (0.0, 0.0, 10.0, 20.0)
    assert boxes_of(oriented) == [expected]


def guess_of(entry: CorpusImage) -> object:
    return (entry.meta or {}).get(FRAME_GUESS)


@pytest.mark.parametrize(
    ("declared", "stored_wh", "box", "expected"),
    [
        ((120, 80), (60, 40), (20, 20, 60, 60), (10, 10, 30, 30)),
        ((30, 20), (60, 40), (10, 10, 20, 20), (20, 20, 40, 40)),
        ((1000, 667), (500, 333), (500, 0, 1000, 667), (250, 0, 500, 333)),
    ],
)
def test_boxes_of_another_declared_size_are_scaled(
    declared: tuple[int, int],
    stored_wh: tuple[int, int],
    box: tuple[float, float, float, float],
    expected: tuple[float, float, float, float],
) -> None:
    entry = entry_of(box, width=declared[0], height=declared[1])
    oriented, rejects = oriented_entry(entry, decoded(stored_wh, 1), "auto")
    assert not rejects
    assert boxes_of(oriented) == [pytest.approx(expected, abs=0.01)]


def test_a_turned_image_of_another_size_is_scaled_in_the_frame_that_fits() -> None:
    """Stored 60 x 40, shown 40 x 60: 80 x 120 is twice the shown size."""
    entry = entry_of((0, 0, 20, 40), width=80, height=120)
    oriented, _ = oriented_entry(entry, decoded((60, 40), 6), "auto")
    assert boxes_of(oriented) == [(0.0, 0.0, 10.0, 20.0)]
    assert guess_of(oriented) is None


@pytest.mark.parametrize("orientation", [1, 6])
def test_boxes_of_another_aspect_are_one_reject(orientation: int) -> None:
    entry = entry_of((1, 1, 5, 5), (2, 2, 6, 6), width=7, height=9)
    oriented, (reject,) = oriented_entry(entry, decoded((60, 40), orientation), "auto")
    assert oriented.regions is None
    assert (reject.stage, reject.reason) == ("box", "other_size")
    assert "2 boxes: declared 7 x 9, is 60 x 40" in reject.message


def test_a_wrong_size_without_boxes_is_no_fault() -> None:
    entry = CorpusImage(uri="/x.jpg", width=7, height=9)
    assert oriented_entry(entry, decoded((60, 40), 1), "auto")[1] == []


def test_shares_are_of_the_picture_as_shown_and_the_guess_is_told() -> None:
    """A photograph stored 60 x 40 and shown 40 x 60, as YOLO's own readers take it."""
    entry = entry_of((0, 0, 0.5, 1), box_unit="share")
    oriented, _ = oriented_entry(entry, decoded((60, 40), 6), "auto")
    assert (boxes_of(oriented), guess_of(oriented)) == ([(0.0, 0.0, 20.0, 60.0)], "oriented")
    upright, _ = oriented_entry(entry, decoded((60, 40), 1), "auto")
    assert (boxes_of(upright), guess_of(upright)) == ([(0.0, 0.0, 30.0, 40.0)], None)
    stored, _ = oriented_entry(entry, decoded((60, 40), 6), "stored")
    assert guess_of(stored) is None


def test_pixels_without_a_size_are_stored_ones_and_the_guess_is_told() -> None:
    oriented, _ = oriented_entry(entry_of((0, 0, 10, 20)), decoded((60, 40), 6), "auto")
    assert (boxes_of(oriented), guess_of(oriented)) == ([(20.0, 0.0, 40.0, 10.0)], "stored")


def test_boxes_of_a_square_image_are_in_stored_pixels() -> None:
    entry = entry_of((0, 0, 5, 5), width=50, height=50)
    oriented, _ = oriented_entry(entry, decoded((50, 50), 3), "auto")
    assert boxes_of(oriented) == [(45.0, 45.0, 50.0, 50.0)]


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((5, 5, 5, 9), "no_area"),
        ((9, 5, 5, 9), "no_area"),
        ((math.nan, 0, 5, 5), "not_finite"),
        ((-math.inf, 0, math.inf, 5), "not_finite"),
        ((1e39, 0, 2e39, 5), "not_finite"),
        ((70, 0, 90, 5), "outside"),
        ((60, 0, 90, 5), "outside"),
    ],
)
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_bad_box_is_rejected_and_the_others_stay(
    box: tuple[float, float, float, float], reason: str, orientation: int
) -> None:
    entry = entry_of(box, (-5, -5, 10, 10), id="7", meta={"k": 1})
    oriented, rejects = oriented_entry(entry, decoded((60, 40), orientation), "stored")
    assert [region.label for region in oriented.regions or []] == ["1"]
    assert [(reject.stage, reject.reason, reject.image_id) for reject in rejects] == [
        ("box", reason, "a" * 64)
    ]
    kept = CorpusImage.model_validate_json(rejects[0].source or "")
    assert (kept.id, kept.meta, len(kept.regions or [])) == ("7", {"k": 1}, 1)


def test_clipping_stays_within_the_image() -> None:
    oriented, rejects = oriented_entry(entry_of((-3, -3, 500, 20)), decoded((60, 40), 1), "auto")
    assert boxes_of(oriented) == [(0.0, 0.0, 60.0, 20.0)]
    assert not rejects


def test_phrases_follow_the_remaining_regions() -> None:
    phrases = [
        CorpusPhrase(text="both", region_indices=[1, 2]),
        CorpusPhrase(text="gone", region_indices=[0]),
        CorpusPhrase(text="absent", region_indices=[]),
        CorpusPhrase(text="unknown"),
    ]
    entry = entry_of((5, 5, 5, 5), (0, 0, 9, 9), (1, 1, 8, 8), phrases=phrases)
    oriented, rejects = oriented_entry(entry, decoded((60, 40), 1), "auto")
    assert len(rejects) == 1
    assert [phrase.region_indices for phrase in oriented.phrases] == [[0, 1], None, [], None]
    assert (oriented.width, oriented.height) == (60, 40)


def test_phrases_of_the_caption_follow_the_remaining_regions() -> None:
    phrases = [CorpusPhrase(text="hat", region_indices=[0]), CorpusPhrase(text="dog", region_indices=[0, 2])]
    entry = entry_of((5, 5, 5, 5), (0, 0, 9, 9), (1, 1, 8, 8), caption_phrases=phrases)
    oriented, rejects = oriented_entry(entry, decoded((10, 10), 1), "auto")
    assert len(rejects) == 1
    assert [phrase.region_indices for phrase in oriented.caption_phrases] == [None, [1]]


def test_no_regions_and_unknown_regions_stay_different() -> None:
    image = decoded((60, 40), 1)
    assert oriented_entry(CorpusImage(uri="/x", regions=None), image, "auto")[0].regions is None
    assert oriented_entry(CorpusImage(uri="/x", regions=[]), image, "auto")[0].regions == []


def test_what_is_said_of_each_region_stays_with_it_when_others_are_unusable() -> None:
    of_regions = [{"id": 1}, {"id": 2}, {"iscrowd": 1}]
    entry = entry_of((0, 0, 5, 5), (3, 3, 3, 9), (2, 2, 9, 9), meta={"a": 1, "region_meta": of_regions})
    oriented, rejects = oriented_entry(entry, decoded((40, 40), 1), "auto")
    assert len(rejects) == 1
    assert oriented.meta == {"a": 1, "region_meta": [{"id": 1}, {"iscrowd": 1}]}
    assert entry.meta == {"a": 1, "region_meta": of_regions}
