"""Tiles as entries: their names say all that reading takes, and every box of a source goes to one of them."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fo1_data.corpus.images import ImageFrame, InputLimits
from fo1_data.corpus.tile_grid import TileGrid
from fo1_data.corpus.tile_listing import TileSettings, cut_entry, tile_listing
from fo1_data.corpus.tile_names import TileName, image_of_tile, tile_name
from schemas.corpus import CorpusImage, CorpusPhrase, CorpusRegion

SETTINGS = TileSettings(64, 16)


@settings(deadline=None, max_examples=50)
@given(st.sampled_from([None, "frame@1.000s", "a::b\nc"]), st.sampled_from([None, (0, 5, 64, 69)]))
def test_the_name_of_a_tile_is_read_back(inner: str | None, window: tuple[int, int, int, int] | None) -> None:
    image = CorpusImage(uri="a.tif", inner=inner)
    name = TileName(window, 64, 16)
    assert tile_name(name.of(image)) == name
    assert image_of_tile(name.of(image)) == image
    assert tile_name(image) is None


BOXES = st.tuples(st.floats(-20, 220, width=32), st.floats(-20, 170, width=32), st.floats(1, 150, width=32),
                  st.floats(1, 150, width=32))  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(st.lists(BOXES, max_size=12), st.sampled_from([1, 3, 6]))
def test_every_usable_box_goes_to_one_entry_which_holds_it(
    boxes: list[tuple[float, float, float, float]], orientation: int
) -> None:
    stored_wh = (200, 150)
    wh = stored_wh if orientation < 5 else (150, 200)
    image = CorpusImage(
        uri="a.tif",
        caption="a field",
        phrases=[CorpusPhrase(text="a car", region_indices=[0] if boxes else [])],
        regions=[
            CorpusRegion(box_xyxy=(x, y, x + w, y + h), label=str(number))
            for number, (x, y, w, h) in enumerate(boxes)
        ],
    )
    entries, rejects = cut_entry(
        image, ImageFrame(*wh, orientation, stored_wh), TileGrid(wh, 64, 16), SETTINGS
    )
    labels = [region.label for entry in entries for region in entry.regions or []]
    assert len(labels) + len(rejects) == len(boxes)
    assert len(set(labels)) == len(labels)
    for entry in entries[:-1]:
        name = tile_name(entry)
        assert name is not None
        assert name.window_xyxy is not None
        left, top, right, bottom = name.window_xyxy
        assert entry.caption is None
        assert [phrase.text for phrase in entry.phrases] == ["a car"]
        assert entry.regions  # a tile without boxes is left out where the boxes are given
        for region in entry.regions:
            x_min, y_min, x_max, y_max = region.box_xyxy
            assert x_min >= left - 1
            assert y_min >= top - 1
            assert x_max <= right + 1
            assert y_max <= bottom + 1
    assert entries[-1].caption == "a field"


def test_only_images_larger_than_a_tile_are_cut_and_the_order_stays(tmp_path: Path) -> None:
    for name, size in {"small.png": (64, 60), "large.png": (100, 64), "turned.jpg": (30, 90)}.items():
        exif = Image.Exif()
        exif[0x0112] = 6 if name == "turned.jpg" else 1
        Image.new("RGB", size).save(tmp_path / name, exif=exif)
    (tmp_path / "broken.png").write_bytes(b"no image")
    names = ["small.png", "large.png", "broken.png", "turned.jpg", "gone.png"]
    images = [CorpusImage(uri=str(tmp_path / name)) for name in names]
    listing = tile_listing(images, SETTINGS, InputLimits())
    assert list(listing.group_sizes) == [1, 3, 1, 3, 1]
    assert (listing.num_images, listing.num_cut) == (5, 2)
    assert [entry.inner for entry in listing.entries][4:8] == [
        None,
        "tile@0,0,64,30@64/16",
        "tile@26,0,90,30@64/16",
        "tile@whole@64/16",
    ]
    assert [entry.name for entry in listing.entries if entry.inner is None] == [
        str(tmp_path / name) for name in ("small.png", "broken.png", "gone.png")
    ]


def test_boxes_of_another_picture_are_one_reject_and_nothing_is_cut(tmp_path: Path) -> None:
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    image = CorpusImage(
        uri=str(tmp_path / "a.png"), width=50, height=90, regions=[CorpusRegion(box_xyxy=(1, 1, 9, 9))]
    )
    listing = tile_listing([image], SETTINGS, InputLimits())
    assert [reject.reason for reject in listing.rejects] == ["other_size"]
    assert len(listing.entries) == 0


@pytest.mark.parametrize(("boxes_given", "num_entries"), [(True, 2), (False, 7), (None, 2)])
def test_tiles_without_boxes_are_left_out_only_where_all_boxes_are_given(
    tmp_path: Path, boxes_given: bool | None, num_entries: int
) -> None:
    Image.new("RGB", (150, 100)).save(tmp_path / "a.png")
    image = CorpusImage(uri=str(tmp_path / "a.png"), regions=[CorpusRegion(box_xyxy=(1, 1, 9, 9))])
    settings = TileSettings(64, 16, boxes_given=boxes_given)
    assert list(tile_listing([image], settings, InputLimits()).group_sizes) == [num_entries]
