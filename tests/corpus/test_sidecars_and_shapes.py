"""Texts beside images, polygons of the old LabelMe, and masks of Label Studio's brush."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layout_samples import boxes, listing_of, write

from fo1_data.corpus.forms.brush_masks import box_of_brush
from fo1_data.corpus.forms.shapes import box_of_ellipse, number_of, rate_of, turned_box

SHARES = "0 0.5 0.5 0.2 0.2\n"


@pytest.mark.parametrize("suffix", [".txt", ".caption"])
def test_a_text_beside_an_image_is_its_caption(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, "a.png", "b.png", "sub/c.png", "sub/d.png")
    write(tmp_path, f"a{suffix}", text="a cat, 2 dogs, 1girl\non a mat\n")
    write(tmp_path, f"sub/c{suffix}", text="\ufeffeine Straße")
    write(tmp_path, f"other/b{suffix}", text="not beside the image")
    listing = listing_of(tmp_path)
    found = {entry.uri.rpartition("/")[2]: (entry.caption, entry.regions) for entry in listing.entries}
    assert {name: found[name] for name in ("a.png", "b.png", "c.png", "d.png")} == {
        "a.png": ("a cat, 2 dogs, 1girl\non a mat", None),
        "b.png": (None, None),
        "c.png": ("eine Straße", None),
        "d.png": (None, None),
    }
    assert sum(source.attached.get("captions", 0) for source in listing.sources) == 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SHARES + "a cat\n", "mixed_text"),
        ("a cat\n1\n", "mixed_text"),
        ("20 20 60 20 60 60 20 60 plane 0\n", "annotations_not_read"),
        ("377,117,463,117,465,130,378,130,Theatre\n", "annotations_not_read"),
    ],
)
def test_numbers_are_no_caption(tmp_path: Path, text: str, reason: str) -> None:
    write(tmp_path, "a.png")
    write(tmp_path, "a.txt", text=text)
    listing = listing_of(tmp_path)
    (entry,) = listing.entries
    assert (entry.caption, entry.regions) == (None, None)
    assert [reject.reason for reject in listing.rejects] == [reason]


def test_polygons_of_the_old_labelme_give_boxes(tmp_path: Path) -> None:
    write(tmp_path, "Images/a.png")
    points = "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in [(20, 30), (60, 20), (50, 60)])
    shown = f"<object><name>cat\n</name><deleted>0</deleted><polygon>{points}</polygon></object>"
    deleted = shown.replace("<deleted>0", "<deleted>1")
    size = "<imagesize><nrows>80</nrows><ncols>120</ncols></imagesize>"
    document = f"<annotation><filename>a.png</filename>{shown}{deleted}{size}</annotation>"
    write(tmp_path, "Annotations/a.xml", text=document)
    listing = listing_of(tmp_path)
    (entry,) = listing.entries
    assert boxes(entry) == [(20, 20, 60, 60)]
    assert [(region.label, entry.width, entry.height) for region in entry.regions or []] == [("cat", 120, 80)]
    assert listing.rejects == []


MASKS = st.integers(1, 12).flatmap(
    lambda width: st.lists(
        st.lists(st.sampled_from([0, 0, 255, 128]), min_size=width, max_size=width), min_size=1
    )
)


@settings(max_examples=50, deadline=None)  # the first call imports the SDK
@given(MASKS)
def test_the_box_around_a_brush_mask(rows: list[list[int]]) -> None:
    """Encoded by Label Studio's own code."""
    encode_rle = pytest.importorskip("label_studio_sdk.converter.brush").encode_rle
    mask = np.array(rows, dtype=np.uint8)
    height, width = mask.shape
    code = encode_rle(np.repeat(mask.ravel(), 4).tolist())
    found = box_of_brush(list(code), width, height)
    inside_y, inside_x = np.nonzero(mask)
    if not len(inside_x):
        assert found is None
        return
    assert found == (inside_x.min(), inside_y.min(), inside_x.max() + 1, inside_y.max() + 1)
    assert box_of_brush(list(code), width + 1, height) is None
    assert box_of_brush(list(code[:-1]), width, height) in (None, found)


@pytest.mark.parametrize("code", [None, [], [1], [300], "abc", [0, 0, 0, 64, 255, 255]])
def test_a_damaged_mask_has_no_box(code: object) -> None:
    assert box_of_brush(code, 4, 4) is None
    assert box_of_brush(code, None, 4) is None
    assert box_of_brush(code, 10**6, 10**6) is None


def test_a_brush_of_an_export_is_a_region(tmp_path: Path) -> None:
    encode_rle = pytest.importorskip("label_studio_sdk.converter.brush").encode_rle
    mask = np.zeros((80, 120), dtype=np.uint8)
    mask[20:60, 20:60] = 255
    value = {
        "format": "rle",
        "rle": list(encode_rle(np.repeat(mask.ravel(), 4).tolist())),
        "brushlabels": ["cat"],
    }
    result = {"id": "b", "type": "brushlabels", "from_name": "tag", "to_name": "image", "value": value}
    size = {"original_width": 120, "original_height": 80}
    write(tmp_path, "a.png")
    task = {"id": 1, "data": {"image": "a.png"}, "annotations": [{"id": 1, "result": [{**result, **size}]}]}
    (tmp_path / "export.json").write_text(json.dumps([task]))
    listing = listing_of(tmp_path)
    assert boxes(listing.entries[0]) == [(20, 20, 60, 60)]
    assert [region.label for region in listing.entries[0].regions or []] == ["cat"]


@pytest.mark.parametrize("angle_deg", [math.inf, -math.inf, math.nan])
def test_a_shape_turned_by_no_angle_has_no_box(angle_deg: float) -> None:
    for box in turned_box((1, 2, 3, 4), angle_deg, (1, 2)), box_of_ellipse((5, 5), (2, 1), angle_deg):
        assert all(map(math.isnan, box))


@pytest.mark.parametrize("value", [10**400, math.inf, math.nan, True, "3", None, [1]])
def test_what_is_no_finite_number_is_no_score_and_no_rate(value: object) -> None:
    assert number_of(value) is None
    assert rate_of(value) is None
    assert (number_of(-2), rate_of(-2), number_of(3), rate_of(3)) == (-2.0, None, 3.0, 3.0)
