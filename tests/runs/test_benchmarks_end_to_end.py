"""A benchmark file is labelled and scored by one command each: counts and expressions of its own."""

import json

import pytest

pytest.importorskip("torch")

from fo1_data.corpus.readers import load_listing
from fo1_data.dataset.reader import open_dataset
from fo1_data.evaluation.scores import evaluate
from fo1_data.runs.in_process import run_in_process
from fo1_data.runs.watcher import Unwatched
from fo1_data.synthetic.gold import gold_of
from fo1_data.synthetic.scenes import make_scene
from schemas.jobs import RunConfig


def figures_of(corpus, out, **settings):
    run_in_process(RunConfig(corpus=str(corpus), out=str(out), **settings), Unwatched())
    return evaluate(open_dataset(str(out)).rows(), load_listing(str(corpus)).entries)


def test_a_counting_and_referring_file_is_labelled_and_scored(tmp_path):
    lines = []
    for seed in (5, 6):
        scene = make_scene(seed, (3, 5))
        name = f"{seed}.png"
        scene.image.save(tmp_path / name)
        gold = gold_of(scene, name)
        boxes = [list(region.box_xyxy) for region in gold.regions]
        lines += [
            {"image_name": name, "width": gold.width, "height": gold.height, "referring": phrase.text,
             "answer_boxes": [boxes[place] for place in phrase.region_indices], "candidate_boxes": boxes,
             "domain": gold.meta["phrase_kinds"][phrase.text]}
            for phrase in gold.phrases
        ]  # fmt: skip
        (tmp_path / f"count-{seed}.json").write_text(
            json.dumps([{"image": name, "count": one.count, "label": one.text} for one in gold.counts])
        )
    referring = tmp_path / "referring.jsonl"
    referring.write_text("".join(json.dumps(line) + "\n" for line in lines))
    figures = figures_of(referring, tmp_path / "d", labels="ground", proposals="corpus")
    referred = figures["groundings"]["referring"]
    assert referred["num_phrases"] + referred["num_absent"] == len(lines)
    assert set(referred["by_kind"]) >= {"present", "absent"}
    assert referred["density_f1_50"] > 0.5
    counted = tmp_path / "count-5.json"
    asked = {"labels": "count", "vocabulary": "@corpus", "proposals": "fo1-tiny"}
    counts = figures_of(counted, tmp_path / "c", **asked)["counts"]
    assert counts["num"] == len(json.loads(counted.read_text()))
    assert counts["mean_absolute_error"] < 2
