"""Tiles labelled by the real reading, proposing and engine: what is asked where, and in whose frame."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.runs.in_process import run_in_process
from fo1_data.synthetic.gold import annotation_of, gold_of
from fo1_data.synthetic.scenes import Scene, make_scene
from schemas.jobs import RunConfig

WORDS = ["square", "circle", "triangle", "star"]


@pytest.fixture(scope="module")
def scene() -> Scene:
    return make_scene(3_000_017, (9, 9), (320, 240))


@pytest.fixture(scope="module")
def corpus(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene on a canvas whose right part is empty."""
    folder = tmp_path_factory.mktemp("corpus")
    canvas = Image.new("RGB", (640, 240), (90, 90, 90))
    canvas.paste(scene.image, (0, 0))
    canvas.save(folder / "a.png")
    gold = annotation_of(gold_of(scene, "a.png"))
    gold |= {"width": 640, "height": 240}
    gold["regions"] = [*gold["regions"], {"box_xyxy": [10.25, 20, 600, 230]}]  # type: ignore[misc]
    gold["regions"] = [{**region, "number": n} for n, region in enumerate(gold["regions"])]  # type: ignore[misc]
    (folder / "annotations.jsonl").write_text(json.dumps(gold) + "\n")
    return folder


def label(corpus: Path, out: Path, **settings: Any) -> dict[str, Any]:
    given = {"tile_px": 160, "tile_overlap": 0.3, "vocabulary": WORDS, "second_questions": "none"}
    config = RunConfig.model_validate({"corpus": str(corpus), "out": str(out), **given, **settings})
    run_in_process(config)
    assert validate_dataset(str(out)) == []
    rows = [
        row
        for file in open_dataset(str(out)).data_files()
        for row in pq.read_table(out / file.path).to_pylist()
    ]
    assert len(rows) == 1
    row: dict[str, Any] = rows[0]
    return row


def test_what_the_corpus_gives_keeps_every_box_and_its_words(
    corpus: Path, tmp_path: Path, scene: Scene
) -> None:
    row = label(corpus, tmp_path / "out", labels="brief_caption,ground", proposals="corpus")
    gold = json.loads((corpus / "annotations.jsonl").read_text())
    found = {tuple(region["box_xyxy"]): region for region in row["regions"]}
    assert found.keys() == {tuple(region["box_xyxy"]) for region in gold["regions"]}
    for region in gold["regions"][:-1]:
        ours = found[tuple(region["box_xyxy"])]
        assert ours["source_label"] == region["label"]
        assert ours["box_source"] == "corpus"
        assert ours["brief_caption"]
    assert row["source_id"] == gold["id"]
    assert json.loads(row["meta"])["seed"] == scene.seed
    numbers = [meta["number"] for meta in json.loads(row["meta"])["region_meta"]]
    boxes = [tuple(gold["regions"][number]["box_xyxy"]) for number in numbers]
    assert boxes == [tuple(region["box_xyxy"]) for region in row["regions"]]
    assert numbers != sorted(numbers)  # else the order of tiles would show nothing
    assert sorted(grounding["phrase"] for grounding in row["groundings"]) == sorted(
        phrase["text"] for phrase in gold["phrases"]
    )
    ids = {region["region_id"] for region in row["regions"]}
    assert {name for grounding in row["groundings"] for name in grounding["region_ids"]} <= ids


def test_counts_are_of_the_image_and_the_caption_is_asked_once(
    corpus: Path, tmp_path: Path, scene: Scene
) -> None:
    row = label(
        corpus / "a.png",
        tmp_path / "out",
        labels="brief_caption,grounded_caption,count,detect,ask",
        question="What is it?",
    )
    assert len(row["answers"]) == 1
    assert row["answers"][0]["region_id"] is None
    assert [count["phrase"] for count in row["counts"]] == WORDS
    assert [grounding["phrase"] for grounding in row["groundings"] if grounding["kind"] == "detect"] == WORDS
    for count in row["counts"]:
        true = sum(thing.shape == count["phrase"] for thing in scene.objects)
        assert count["count"] == len(count["region_ids"]) == int(count["label"]["text"])
        assert abs(count["count"] - true) <= 1
    tiles = json.loads(row["meta"])["tiles"]
    assert (tiles["columns"], tiles["rows"]) == (6, 2)
    assert tiles["empty"] >= 4


def test_what_the_corpus_says_of_its_boxes_is_not_said_of_those_of_a_detector(
    corpus: Path, tmp_path: Path, scene: Scene
) -> None:
    for settings in ({}, {"tile_px": None}):
        given = {"labels": "brief_caption", "proposals": "fo1-tiny", **settings}
        row = label(corpus, tmp_path / f"{len(settings)}", **given)
        assert row["regions"]
        meta = json.loads(row["meta"])
        assert (meta["seed"], "region_meta" in meta) == (scene.seed, False)
