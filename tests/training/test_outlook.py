"""Whether the features of the boxes tell their names apart, told before a training."""

import json
import random
from pathlib import Path

import numpy as np

from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.synthetic.gold import write_scenes
from fo1_data.training.outlook import _share_named, linear_outlook
from fo1_data.training.samples.source import open_source
from fo1_data.training.settings import TrainConfig
from fo1_data.training.trainer import Trainer


def renamed(scenes: Path, out: Path, name: str) -> str:
    """The scenes with other captions: `{shape}` for the shape, `{chance}` for a name by chance."""
    draw = random.Random(1)
    lines = [json.loads(line) for line in scenes.read_text().splitlines()]
    for line in lines:
        line["image"] = str(scenes.parent / line["image"])
        for region in line["regions"]:
            words = {"shape": region["caption"].split()[-1], "chance": draw.choice(("heads", "tails"))}
            region["caption"] = region["label"] = name.format(**words, sentence=draw.random())
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(out)


def test_features_tell_shapes_apart_but_not_names_by_chance(tmp_path: Path) -> None:
    scenes = write_scenes(tmp_path / "scenes", 24, 70, (4, 6))
    trainer = Trainer(load_checkpoint("fo1-tiny"), 1, TrainConfig(device="cpu"))
    shapes, chance, sentences = (
        linear_outlook(trainer, open_source([renamed(scenes, tmp_path / f"{name}.jsonl", text)]))
        for name, text in (("a", "{shape}"), ("b", "{chance}"), ("c", "number {sentence}"))
    )
    assert shapes is not None
    assert chance is not None
    assert shapes.linear > shapes.guess + 0.2
    assert abs(chance.linear - chance.guess) < 0.15
    assert sentences is None


def test_names_that_the_images_of_one_fold_have_alone_are_read_wrongly_not_as_nan() -> None:
    images = np.repeat(np.arange(8), 4)
    names = np.where(images == 3, "queen", "king")
    features = np.random.default_rng(0).normal(size=(32, 5))
    assert _share_named(features, names, images.tolist()) == 28 / 32


def test_a_name_on_a_single_image_is_no_name_to_judge_by(tmp_path: Path) -> None:
    scenes = write_scenes(tmp_path / "scenes", 10, 70, (9, 10))
    lines = [json.loads(line) for line in scenes.read_text().splitlines()]
    for number, line in enumerate(lines):
        for region in line["regions"]:
            region["caption"] = region["label"] = "queen" if number == 0 else "king"
    scenes.write_text("".join(json.dumps(line) + "\n" for line in lines))
    trainer = Trainer(load_checkpoint("fo1-tiny"), 1, TrainConfig(device="cpu"))
    assert linear_outlook(trainer, open_source([str(scenes)])) is None
