"""What a training of the detector sees: every box of each tile, and no image in two parts by its content."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from factories import make_dataset, make_image, make_row
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fo1_data.boxes import as_boxes
from fo1_data.errors import DatasetError
from fo1_data.training.detection.run import train_detector
from fo1_data.training.detection.samples import BoxedImage, BoxedImages
from fo1_data.training.detection.seen_size import fitting_long_edge_px
from fo1_data.training.detection.settings import DetectorConfig
from fo1_data.training.detection.targets import detection_loss, make_targets
from fo1_data.training.detection.views import LeftOut, boxes_within
from fo1_data.training.samples.held_out import open_sources
from fo1_data.training.samples.source import open_source
from fo1_data.training.settings import TrainConfig
from schemas.labels import Decision
from schemas.regions import Box

CONFIG = DetectorConfig(steps=1, batch_images=1, threads=1, device="cpu")
WIDTH, HEIGHT, TILE_PX = 1600, 700, 512
BOXES: list[Box] = [(10, 20, 60, 70), (480, 100, 540, 160), (200, 100, 1400, 400), (1500, 600, 1580, 680)]


def write_corpus(folder: Path, numbers: range, size: tuple[int, int] = (80, 60)) -> str:
    folder.mkdir()
    boxes = BOXES if size == (WIDTH, HEIGHT) else [(8, 8, 40, 30)]
    lines = []
    for number in numbers:
        make_image(number, *size, boxes).save(folder / f"{number}.png")
        regions = [{"box_xyxy": list(box)} for box in boxes]
        lines.append(json.dumps({"image": f"{number}.png", "regions": regions}) + "\n")
    (folder / "annotations.jsonl").write_text("".join(lines))
    return str(folder / "annotations.jsonl")


def shown(images: BoxedImages) -> list[BoxedImage]:
    views = [images.as_it_is(number) for number in range(len(images))]
    assert not images.unread
    return [view for view in views if view is not None]


def assert_shows_all_boxes(images: BoxedImages) -> None:
    """Tiles show whole boxes where they lie, also those that a neighbour owns; the last view is all of it."""
    picture = np.asarray(make_image(1, WIDTH, HEIGHT, BOXES))
    *tiles, whole = shown(images)
    windows = [view.window_xyxy for view in images.found.views]
    assert whole.rgb.size == (WIDTH, HEIGHT)
    assert whole.boxes_xyxy.tolist() == as_boxes(BOXES).tolist()
    assert len(tiles) >= 8
    for tile, window in zip(tiles, windows, strict=False):
        assert window is not None
        x, y, right, bottom = window
        assert np.array_equal(np.asarray(tile.rgb), picture[y:bottom, x:right])
        inside = [
            box for box in BOXES if x <= box[0] and y <= box[1] and box[2] <= right and box[3] <= bottom
        ]
        moved = as_boxes([(a - x, b - y, c - x, d - y) for a, b, c, d in inside]).tolist()
        assert [box for box in moved if box not in tile.boxes_xyxy.tolist()] == []
    assert sum(len(tile.boxes_xyxy) for tile in tiles) > len(BOXES) - 1, "a box in an overlap is in two tiles"


def test_a_large_image_of_a_corpus_is_shown_in_tiles_if_asked(tmp_path: Path) -> None:
    source = open_source([write_corpus(tmp_path / "large", range(1, 2), (WIDTH, HEIGHT))])
    assert_shows_all_boxes(BoxedImages(source, tile_px=TILE_PX))
    images = BoxedImages(source)
    assert [view.rgb.size for view in shown(images)] == [(WIDTH, HEIGHT)]
    assert images.found.num_shrunk == 1


@pytest.mark.parametrize("embed", [False, True])
def test_a_row_that_was_labelled_in_tiles_is_shown_by_them(tmp_path: Path, embed: bool) -> None:
    meta = {"tiles": {"tile_px": TILE_PX, "overlap_px": 150, "columns": 4, "rows": 2, "empty": 0}}
    accepted = [Decision.ACCEPT] * len(BOXES)
    row = make_row(1, width=WIDTH, height=HEIGHT, boxes=BOXES, folder=tmp_path / "images", embed=embed,
                   decisions=accepted, meta=json.dumps(meta))  # fmt: skip
    make_dataset(tmp_path / "dataset", [row])
    images = BoxedImages(open_source([str(tmp_path / "dataset")]))
    assert images.found.num_images == 1
    assert_shows_all_boxes(images)


def test_a_tile_of_a_row_with_a_doubtful_box_elsewhere_is_left_out(tmp_path: Path) -> None:
    meta = {"tiles": {"tile_px": TILE_PX, "overlap_px": 150, "columns": 4, "rows": 2, "empty": 0}}
    decisions = [Decision.ACCEPT, Decision.ACCEPT, Decision.ACCEPT, Decision.REVIEW]
    row = make_row(1, width=WIDTH, height=HEIGHT, boxes=BOXES, folder=tmp_path / "images",
                   decisions=decisions, meta=json.dumps(meta))  # fmt: skip
    make_dataset(tmp_path / "dataset", [row])
    with pytest.raises(DatasetError, match="no image to train on: .*not every box is of the corpus"):
        BoxedImages(open_source([str(tmp_path / "dataset")]))


def test_what_is_validated_or_tested_on_is_not_trained_on(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", range(6))
    validation = write_corpus(tmp_path / "validation", range(20, 23))
    test = write_corpus(tmp_path / "test", range(30, 33))
    for name, into in (("20", 0), ("21", 1), ("30", 2)):
        shutil.copyfile((tmp_path / ("test" if name == "30" else "validation")) / f"{name}.png",
                        tmp_path / "corpus" / f"{into}.png")  # fmt: skip
    shutil.copyfile(tmp_path / "test" / "31.png", tmp_path / "validation" / "22.png")
    (tmp_path / "corpus" / "5.png").write_bytes(b"no image")
    said: list[str] = []
    done = train_detector(
        [corpus], tmp_path / "out", CONFIG, validation=[validation], test=[test], say=said.append
    )
    assert done["left_out"] == {"also_validated_or_tested": 3, "unreadable": 1}
    assert (done["images"], done["validation_images"]) == (2, 2)
    assert "3 images left out: the same is validated or tested on" in said
    assert "1 image left out: it cannot be read" in said


def test_images_without_a_box_are_counted_as_left_out(tmp_path: Path) -> None:
    corpus = Path(write_corpus(tmp_path / "corpus", range(14)))
    bare = make_row(20, width=80, height=60, boxes=[], folder=tmp_path / "images")
    make_dataset(tmp_path / "dataset", [bare, make_row(21, folder=tmp_path / "images")])
    lines = corpus.read_text().splitlines()
    corpus.write_text(
        "\n".join([*lines[:12], *(line.partition(', "regions"')[0] + "}" for line in lines[12:])])
    )
    both = open_source([str(corpus), str(tmp_path / "dataset")])
    assert both.num_without_box == 3
    train, held_out = open_sources([str(corpus)], [], TrainConfig(validation_share=0.5))
    assert held_out is not None
    assert len(train) + len(held_out) == 12
    images = BoxedImages(train)
    assert images.found.left_out == {LeftOut.NO_BOX: 2}
    assert images.left_out() == ["2 images left out: it has no box"]
    assert BoxedImages(held_out).left_out() == []


def test_nothing_left_to_train_on_is_one_line(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", range(3))
    with pytest.raises(DatasetError, match="no image to train on: 3 images left out: the same is validated"):
        train_detector([corpus], tmp_path / "out", CONFIG, validation=[corpus])
    with pytest.raises(DatasetError, match="no image to validate on: 3 images left out"):
        train_detector([corpus], tmp_path / "out", CONFIG, validation=[corpus], test=[corpus])


def test_an_epoch_shows_every_box_and_few_tiles_without_any(tmp_path: Path) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    make_image(1, WIDTH, HEIGHT, BOXES[:1]).save(folder / "1.png")
    line = {"image": "1.png", "regions": [{"box_xyxy": list(BOXES[0])}]}
    (folder / "annotations.jsonl").write_text(json.dumps(line) + "\n")
    images = BoxedImages(open_source([str(folder / "annotations.jsonl")]), tile_px=TILE_PX)
    boxed = [number for number, view in enumerate(shown(images)) if len(view.boxes_xyxy)]
    assert (len(boxed), images.num_empty) == (1, len(images) - 1)
    drawn = [images.varied(draw, 512) for draw in range(3 * images.epoch_views)]
    assert sorted(len(view.boxes_xyxy) for view in drawn if view is not None) == [0] * 3 + [1] * 3
    assert boxed[0] in images.sample(200)
    assert len(images.sample(200)) == images.epoch_views == 2


@pytest.mark.parametrize(("side", "expected"), [(20, 512), (100, 240), (240, 128)])
def test_large_things_are_seen_smaller(tmp_path: Path, side: int, expected: int) -> None:
    folder = tmp_path / "things"
    folder.mkdir()
    make_image(1, 80, 256, [(4, 4, 4 + min(side, 60), 4 + side)]).save(folder / "1.png")
    line = {"image": "1.png", "regions": [{"box_xyxy": [4, 4, 4 + min(side, 60), 4 + side]}]}
    (folder / "annotations.jsonl").write_text(json.dumps(line) + "\n")
    images = BoxedImages(open_source([str(folder / "annotations.jsonl")]))
    assert fitting_long_edge_px(images) == expected
    varied = images.varied(0, 128)
    assert varied is not None
    assert 0.8 * 128 - 1 <= max(varied.rgb.size) <= 1.25 * 128 + 1
    assert abs((varied.boxes_xyxy[0, 3] - varied.boxes_xyxy[0, 1]) / varied.rgb.height - side / 256) < 1e-3


def test_a_view_without_boxes_teaches_that_there_is_nothing(tmp_path: Path) -> None:
    import torch

    heat, cells = make_targets(as_boxes([]), (8, 8))
    assert not cells
    output = torch.zeros(1, 5, 8, 8, requires_grad=True)
    nothing = torch.zeros(0, 3, dtype=torch.long)
    loss = detection_loss(output, torch.from_numpy(heat)[None], nothing, torch.zeros(0, 4))
    loss.backward()
    assert output.grad is not None
    assert (output.grad[:, 0] > 0).all(), "every score is to fall"
    assert not output.grad[:, 1:].any()


corners = st.integers(0, 90)


@given(st.lists(st.tuples(corners, corners, st.integers(1, 40), st.integers(1, 40)), max_size=8), corners)
def test_a_window_shows_boxes_by_half_and_cuts_them(boxes: list[tuple[int, int, int, int]], x: int) -> None:
    xyxy = as_boxes([(left, top, left + width, top + height) for left, top, width, height in boxes])
    window = (x, 10, x + 40, 60)
    cut = boxes_within(xyxy, window)
    canvas = Image.new("1", (200, 200))
    expected = 0
    for left, top, right, bottom in xyxy.astype(int).tolist():
        canvas.paste(0, (0, 0, 200, 200))
        canvas.paste(1, (left, top, right, bottom))
        visible = int(np.asarray(canvas.crop(window)).sum())
        expected += 2 * visible >= (right - left) * (bottom - top)
    assert len(cut) == expected
    assert (cut >= 0).all()
    assert (cut[:, 2] <= 40).all()
    assert (cut[:, 3] <= 50).all()
