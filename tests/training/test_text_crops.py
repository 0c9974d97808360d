"""Training to read texts from crops: what is shown, what is saved, and what labels so afterwards."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from random_checkpoint import write_random_checkpoint

from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.configuration import OCR_CROP_MIN_PIXELS
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import Question
from fo1_data.model.prompts import CROP_QUESTION
from fo1_data.synthetic.gold import write_scenes
from fo1_data.synthetic.snippets import write_snippets
from fo1_data.training.apart import merge_apart
from fo1_data.training.events import AnswerKind
from fo1_data.training.feature_cache import FeatureCache
from fo1_data.training.layout import APART
from fo1_data.training.measuring import Guesses, MeasuredSample
from fo1_data.training.run import train
from fo1_data.training.samples.batches import Batches
from fo1_data.training.samples.open_examples import TrainingExample
from fo1_data.training.samples.source import ExampleSource, Group, open_source
from fo1_data.training.settings import TrainConfig
from fo1_data.training.trainer import Trainer
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.labels import LabelKind

QUICK = TrainConfig(
    steps=4, batch_images=2, warmup_steps=0, decay_share=0, save_every=2, measured_images=2, validate_every=4,
    learning_rate=1e-3, ocr_crop_min_pixels=6272, primary_parts=("blocks.1.",), device="cpu",
)  # fmt: skip


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("texts") / "corpus"
    return str(write_snippets(folder, 6, 70, (1, 3), held_out=False).parent)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_random_checkpoint(tmp_path_factory.mktemp("model") / "random"))


def test_each_text_is_shown_as_a_crop_beside_the_image_with_its_other_questions(
    model: str, texts: str, tmp_path: Path
) -> None:
    scenes = write_scenes(tmp_path / "scenes", 12, 60, (6, 9)).parent
    checkpoint = load_checkpoint(model, settings=QUICK.checkpoint_settings)
    config = QUICK.model_copy(update={"batch_images": 12, "box_jitter": 0.0})
    images = Batches(open_source([str(scenes)]), checkpoint, config).of_step(0)
    crops = [image for image in images if not len(image.prepared.aux_boxes)]
    assert crops
    for image in images:
        is_crop = not len(image.prepared.aux_boxes)
        assert all((question.kind is LabelKind.OCR) == is_crop for question in image.questions)
    assert {crop.image_id for crop in crops} <= {
        image.image_id for image in images if len(image.prepared.aux_boxes)
    }
    alone = Batches(open_source([texts]), checkpoint, config).of_step(0)
    assert all(not len(image.prepared.aux_boxes) for image in alone)


def test_crops_have_their_pixels_although_the_image_is_cached(model: str, tmp_path: Path) -> None:
    """Also where a box has no letters: its text is empty, and known."""
    pixels = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    region = CorpusRegion(box_xyxy=(5, 5, 60, 30), caption="a sign", text="")
    examples = [TrainingExample(CorpusImage(uri=str(tmp_path / "a.png"), regions=[region]))]
    source = ExampleSource([Group(np.array([0]), lambda: examples, lambda: examples, lambda: ["a"])])
    config = QUICK.model_copy(update={"batch_images": 1, "primary_parts": (), "feature_cache_gib": 0})
    trainer = Trainer(load_checkpoint(model, settings=config.checkpoint_settings), 1, config)
    trainer.cache = FeatureCache(trainer.checkpoint, 4, 2**20, tmp_path / "cache")
    batches = Batches(source, trainer.checkpoint, config, cache=trainer.cache)
    image, crop = batches.of_step(0)
    trainer.step([image, crop])
    again, crop_again = batches.of_step(0)
    assert trainer.cache.find(image.image_id or "") is not None
    assert torch.equal(crop.prepared.pixel_values, crop_again.prepared.pixel_values)
    assert crop_again.prepared.pixel_values.std() > 0.1
    assert len(again.questions) == 1


def test_an_answer_about_a_crop_is_measured_as_the_engine_gives_it(texts: str) -> None:
    """After some steps on a single image, so that some answers are right."""
    checkpoint = load_checkpoint("fo1-tiny", settings=QUICK.checkpoint_settings)
    source, config = open_source([texts]), QUICK.model_copy(update={"primary_parts": (), "batch_images": 1})
    trainer = Trainer(checkpoint, 2, config)
    sample = MeasuredSample(trainer, source, config, None)
    images = [image for number in range(len(sample)) for image in sample.images(number)]
    for _ in range(12):
        trainer.step(images[:1], learning_rate=3e-3)
    figures = sample.measure(Guesses(sample.questions))
    assert figures is not None
    checkpoint.model.eval()
    engine, tokenizer = Fo1Engine(checkpoint), checkpoint.tokenizer
    right = 0
    for image in images:
        (opened,) = engine.open_prepared([image.prepared])
        (answer,) = engine.ask([Question(opened, CROP_QUESTION, max_new_tokens=32)])
        correct = [*tokenizer.answer_ids(image.questions[0].answer), tokenizer.special.end_of_turn]
        right += answer.token_ids == correct
    assert right > 0
    assert figures.accuracy[AnswerKind.TEXT] == pytest.approx(right / len(images))


def test_a_run_saves_how_texts_are_read_and_resumes_to_the_same_weights(
    model: str, texts: str, tmp_path: Path
) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    train([texts], 2, model, whole, QUICK, validation=[texts])
    train([texts], 2, model, halves, QUICK.model_copy(update={"steps": 2}), validation=[texts])
    train([texts], 2, model, halves, QUICK, validation=[texts])
    assert (whole / "model.safetensors").read_bytes() == (halves / "model.safetensors").read_bytes()
    for folder in (whole, whole / "best"):
        assert json.loads((folder / "config.json").read_text())[OCR_CROP_MIN_PIXELS] == 6272
    before, after = load_checkpoint(model).model, load_checkpoint(str(whole)).model
    changed = {
        name
        for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True)
        if name.startswith("vision_tower.") and not torch.equal(old, new)
    }
    assert changed
    assert all(name.startswith("vision_tower.blocks.1.") for name in changed)


def test_adapters_kept_apart_say_how_texts_are_read(model: str, texts: str, tmp_path: Path) -> None:
    update = {"lora_rank": 2, "keep_apart": True, "primary_parts": (), "measured_images": 0}
    train([texts], 2, model, tmp_path / "run", QUICK.model_copy(update=update))
    merge_apart(model, tmp_path / "run" / APART, tmp_path / "merged")
    assert load_checkpoint(str(tmp_path / "merged")).config.ocr_crop_min_pixels == 6272
