"""A run over rasters: its rows, its report, its training images and its exports show the same picture."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("rasterio")

from raster_samples import UTM, write_raster

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.pixels import decode_row, image_bytes, upright
from fo1_data.dataset.reader import open_dataset
from fo1_data.labelling.live import LiveLabeller
from fo1_data.reports.pictures import picture_of
from fo1_data.runs.in_process import run_in_process
from fo1_data.runs.watcher import Unwatched
from fo1_data.training.samples.open_examples import open_example, row_to_example
from schemas.images import ImageRow, Reject
from schemas.jobs import NOT_IN_FINGERPRINT, RunConfig
from schemas.labels import LabelKind

LIMITS = InputLimits()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[ImageRow], list[Reject]]:
    """The rows and rejects of a run over a raster of four bands and one without data."""
    folder = tmp_path_factory.mktemp("rasters")
    bands = np.random.default_rng(4).integers(200, 4000, (4, 64, 96)).astype("uint16")
    bands[:, :8] = 0
    (folder / "corpus").mkdir()
    write_raster(folder / "corpus" / "scene.tif", bands, nodata=0)
    write_raster(folder / "corpus" / "nothing.tif", np.zeros_like(bands), nodata=0)
    line = {"image": "scene.tif", "regions": [{"box_xyxy": [10, 20, 50, 60], "label": "roof"}]}
    rows = [json.dumps(line), json.dumps({"image": "nothing.tif", "regions": []})]
    (folder / "corpus" / "annotations.jsonl").write_text("\n".join(rows))
    config = RunConfig(
        corpus=str(folder / "corpus"), out=str(folder / "ds"), bands=[4, 3, 2], stretch="1,99",
        labels=[LabelKind.BRIEF_CAPTION], max_new_tokens=4,
    )  # fmt: skip
    run_in_process(config, Unwatched())
    dataset = open_dataset(str(folder / "ds"))
    return folder, list(dataset.rows()), list(dataset.rejects())


def test_rows_record_what_was_used(made: tuple[Path, list[ImageRow], list[Reject]]) -> None:
    _, rows, rejects = made
    assert [reject.reason for reject in rejects] == ["all_nodata"]
    [row] = rows
    raster = json.loads(row.meta or "{}")["raster"]
    assert (raster["bands"], raster["stretch"], raster["crs"]) == ([4, 3, 2], "1,99", UTM)
    assert len(raster["limits"]) == 3


def test_every_use_of_a_row_shows_the_picture_that_was_labelled(
    made: tuple[Path, list[ImageRow], list[Reject]],
) -> None:
    _, [row], _ = made
    data = image_bytes(row, LIMITS)
    shown = np.asarray(decode_row(row, data, LIMITS).rgb)
    assert (shown[:8] == 255).all(), "nodata is white"
    trained, _ = open_example(row_to_example(row), LIMITS)
    assert np.array_equal(np.asarray(trained.rgb), shown)
    exported = upright(row, data, LIMITS)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(exported))), shown)
    assert picture_of(row, LIMITS).thumbnail is not None


def test_settings_of_rasters_are_in_the_fingerprint(
    made: tuple[Path, list[ImageRow], list[Reject]],
) -> None:
    folder, _, _ = made
    manifest = json.loads((folder / "ds" / "manifest.json").read_text())
    assert (manifest["config"]["bands"], manifest["config"]["stretch"]) == ([4, 3, 2], "1,99")
    assert not {"bands", "stretch"} & NOT_IN_FINGERPRINT


def test_live_questions_see_the_recorded_colours(made: tuple[Path, list[ImageRow], list[Reject]]) -> None:
    import base64

    from fo1_data.corpus.rendering import raster_record
    from schemas.live import LiveAnswer, LiveRequest

    _, [row], _ = made
    labeller = LiveLabeller()
    request = LiveRequest(
        image_id=row.image_id,
        image_base64=base64.b64encode(image_bytes(row, LIMITS)).decode(),
        boxes_xyxy=[row.regions[0].box_xyxy],
        raster=raster_record(row.meta),
    )
    [answer] = labeller.answer([request])
    assert isinstance(answer, LiveAnswer)
    assert answer.regions[0].brief_caption == row.regions[0].brief_caption
    [plain] = labeller.answer([request.model_copy(update={"raster": None})])
    assert isinstance(plain, LiveAnswer)
    assert not plain.warm, "another picture of the same file"


def test_tiles_of_a_raster_have_its_colours_and_its_coordinates(tmp_path: Path) -> None:
    """A raster of 16 bits, a quarter of it without data, in tiles of 64 pixels: one row, as of the whole."""
    bands = np.random.default_rng(6).integers(200, 4000, (4, 160, 200)).astype("uint16")
    bands[:, :80, :100] = 0
    write_raster(tmp_path / "scene.tif", bands, nodata=0, tiled=True, blockxsize=64, blockysize=64)
    boxes = [[150, 100, 170, 130], [20, 100, 50, 120]]
    line = {"image": "scene.tif", "regions": [{"box_xyxy": box} for box in boxes]}
    (tmp_path / "annotations.jsonl").write_text(json.dumps(line))
    rows = {}
    for name, tile_px in (("tiles", "64"), ("whole", None)):
        config = RunConfig(
            corpus=str(tmp_path / "annotations.jsonl"), out=str(tmp_path / name), bands=[3, 2, 1],
            tile_px=tile_px, labels=[LabelKind.BRIEF_CAPTION], max_new_tokens=4,
        )  # fmt: skip
        run_in_process(config, Unwatched())
        [rows[name]] = open_dataset(str(tmp_path / name)).rows()
    tiled, whole = (json.loads(rows[name].meta or "{}")["raster"] for name in ("tiles", "whole"))
    assert tiled == whole
    assert sorted(region.box_xyxy for region in rows["tiles"].regions) == sorted(map(tuple, boxes))
    assert rows["tiles"].image_id == rows["whole"].image_id


def test_a_raster_without_data_is_a_reject_in_tiles_too(tmp_path: Path) -> None:
    write_raster(tmp_path / "nothing.tif", np.zeros((3, 100, 150), dtype="uint16"), nodata=0)
    config = RunConfig(corpus=str(tmp_path), out=str(tmp_path / "ds"), tile_px="64", labels=["brief_caption"])
    run_in_process(config, Unwatched())
    dataset = open_dataset(str(tmp_path / "ds"))
    assert [reject.reason for reject in dataset.rejects()] == ["all_nodata"]
    assert list(dataset.rows()) == []
