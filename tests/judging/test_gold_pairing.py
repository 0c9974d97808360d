"""Gold is paired by address, content, id or path, and never by a number that two files both count from 1."""

import json
from pathlib import Path

import pytest
from factories import make_dataset, make_row
from made_up_labels import write_gold
from typer.testing import CliRunner

from fo1_data.cli.main import app
from fo1_data.confidence.calibrate_dataset import calibrate_dataset
from fo1_data.errors import ConfigError, Fo1Error
from fo1_data.judging.matching import GoldIndex
from schemas.corpus import CorpusImage
from schemas.images import ImageRow


def entry(uri: str, **fields: object) -> CorpusImage:
    return CorpusImage.model_validate({"uri": uri, "regions": [], **fields})


def row_at(uri: str, source_id: str | None = None, seed: int = 0) -> ImageRow:
    return make_row(seed, uri=uri).model_copy(update={"source_id": source_id})


def gold_of(row: ImageRow, *gold: CorpusImage) -> str | None:
    pair = GoldIndex(gold).pair(row)
    return pair.gold.uri if pair is not None else None


def test_a_number_pairs_nothing() -> None:
    row = row_at("/a/cat.png", "1")
    assert gold_of(row, entry("/b/dog.png", id="1")) is None
    assert gold_of(row_at("/a/cat.png", "scene-1"), entry("/b/dog.png", id="scene-1")) == "/b/dog.png"


def test_the_hash_of_the_bytes_pairs_wherever_the_image_lies() -> None:
    row = row_at("/a/cat.png", "1")
    assert gold_of(row, entry("/b/dog.png", id=row.image_id), entry("/c/cat.png")) == "/b/dog.png"


def test_the_longest_common_path_pairs() -> None:
    gold = [entry("/new/train/x/1.png"), entry("/new/val/x/1.png"), entry("/new/val/y/2.png")]
    assert gold_of(row_at("/old/val/x/1.png"), *gold) == "/new/val/x/1.png"
    assert gold_of(row_at("/old/other/1.png"), *gold) is None
    assert gold_of(row_at("/old/other/2.png"), *gold) == "/new/val/y/2.png"


def test_a_file_of_the_same_name_and_another_shape_is_another_image() -> None:
    row = row_at("/old/000001.png")
    wide = {"width": row.width * 3, "height": row.height}
    turned = {"width": row.height * 2, "height": row.width * 2}
    assert gold_of(row, entry("/new/000001.png", **wide)) is None
    assert gold_of(row, entry("/new/000001.png", **turned)) == "/new/000001.png"


@pytest.mark.parametrize("command", ["evaluate", "calibrate", "report"])
def test_gold_of_other_images_is_refused(tmp_path: Path, command: str) -> None:
    make_dataset(tmp_path / "d", [make_row(seed, folder=tmp_path / "images") for seed in range(2)])
    others = [row_at(f"/elsewhere/other-{seed}.png", seed=seed) for seed in range(3)]
    gold = write_gold(tmp_path / "gold.jsonl", others)
    out = [] if command == "evaluate" else ["--out", str(tmp_path / "out")]
    arguments = [command, str(tmp_path / "d"), "--gold", str(gold), *out]
    with pytest.raises(Fo1Error, match=r"no image of the dataset \(2\) is in the gold \(3\)") as caught:
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert caught.value.exit_code == 2
    assert not (tmp_path / "out").exists()


def test_a_models_labels_are_gold_only_if_asked_for(tmp_path: Path) -> None:
    """A dataset that no person has seen judges nothing by default; compared with itself it agrees in all."""
    make_dataset(tmp_path / "d", [make_row(seed, folder=tmp_path / "images") for seed in range(3)])
    arguments = ["evaluate", str(tmp_path / "d"), "--gold", str(tmp_path / "d"), "--json"]
    by_default = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert json.loads(by_default.stdout)["captions"]["num_brief"] == 0
    assert "of a model are left out" in by_default.stderr
    asked = CliRunner().invoke(app, [*arguments, "--gold-with-model-labels"], catch_exceptions=False)
    figures = json.loads(asked.stdout)["captions"]
    assert figures["num_brief"] > 0
    assert figures["brief"] == 1
    assert "left out" not in asked.stderr
    assert "labels of a model count as gold" in asked.stderr


def test_a_calibration_records_that_a_model_was_its_gold(tmp_path: Path) -> None:
    make_dataset(tmp_path / "d", [make_row(seed, folder=tmp_path / "images") for seed in range(3)])
    arguments = ["calibrate", str(tmp_path / "d"), "--gold", str(tmp_path / "d"), "--out"]
    file = str(tmp_path / "C.json")
    with pytest.raises(Fo1Error, match="judges no label"):
        CliRunner().invoke(app, [*arguments, file], catch_exceptions=False)
    CliRunner().invoke(app, [*arguments, file, "--gold-with-model-labels"], catch_exceptions=False)
    assert json.loads(Path(file).read_text())["gold_with_model_labels"] is True
    (tmp_path / "gold.jsonl").write_text("{}")
    with pytest.raises(ConfigError, match="no dataset of this project"):
        calibrate_dataset(str(tmp_path / "d"), str(tmp_path / "gold.jsonl"), gold_with_model_labels=True)
