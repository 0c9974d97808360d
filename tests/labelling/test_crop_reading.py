"""A checkpoint that reads texts from crops: the public path asks each crop as the engine does alone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from random_checkpoint import write_random_checkpoint

from fo1_data.labelling.image_labeller import ImageLabeller
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.checkpoint_folder import checkpoint_sha256
from fo1_data.model.configuration import OCR_CROP_MIN_PIXELS
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import Question
from fo1_data.model.parsing import parse_caption
from fo1_data.model.prompts import CROP_QUESTION
from fo1_data.opinions.region_model import RegionModel
from fo1_data.opinions.regions import RegionQuestion
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import ImageRow
from schemas.jobs import RunConfig
from schemas.labels import Label, LabelKind

BOXES = ((4.0, 6.0, 50.0, 20.0), (60.0, 10.0, 200.0, 18.5), (0.0, 0.0, 3.0, 119.0))
LIMIT = 6


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (120, 240, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("picture") / "a.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same weights, reading texts from region features and from crops."""
    folder = tmp_path_factory.mktemp("models")
    crops = {OCR_CROP_MIN_PIXELS: 6272}
    return write_random_checkpoint(folder / "plain"), write_random_checkpoint(folder / "crops", **crops)


def _row(model: Path, picture: Path, **settings: object) -> ImageRow:
    entry = CorpusImage(uri=str(picture), regions=[CorpusRegion(box_xyxy=box) for box in BOXES])
    given = {"corpus": "pictures", "out": "unused", "model": str(model), "proposals": "corpus"}
    limits = {"labels": "brief_caption,ocr", "max_new_tokens": LIMIT, "second_questions": "none"}
    (row,), _ = ImageLabeller(RunConfig.model_validate({**given, **limits, **settings})).label_entries(
        [entry]
    )
    return row


def _texts(model: Path, picture: Path) -> list[str]:
    """Each box's text, asked as a single question about its crop."""
    engine = Fo1Engine(load_checkpoint(str(model)))
    texts = []
    for box in BOXES:
        crop = engine.checkpoint.processor.prepare_crop(Image.open(picture), box)
        (opened,) = engine.open_prepared([crop])
        (answer,) = engine.ask([Question(opened, CROP_QUESTION, max_new_tokens=LIMIT)])
        texts.append(parse_caption(answer.text))
        engine.close([opened])
    return texts


def test_texts_are_read_from_crops_and_captions_from_regions(
    models: tuple[Path, Path], picture: Path
) -> None:
    plain, crops = (_row(model, picture) for model in models)
    read = [region.text for region in crops.regions]
    assert read == _texts(models[1], picture)
    assert read != [region.text for region in plain.regions]
    assert [r.brief_caption for r in crops.regions] == [r.brief_caption for r in plain.regions]


def test_the_setting_changes_the_hash_of_the_model_and_so_the_fingerprint_of_a_run(
    models: tuple[Path, Path],
) -> None:
    plain, crops = models
    assert (plain / "model.safetensors").read_bytes() == (crops / "model.safetensors").read_bytes()
    assert checkpoint_sha256(plain) != checkpoint_sha256(crops)


def test_a_text_of_a_crop_is_not_asked_without_its_region(models: tuple[Path, Path], picture: Path) -> None:
    row = _row(models[1], picture, second_questions="blind", unsure_below=1.0)
    blind = {label.kind for region in row.regions for label in region.labels if _is_blind(label)}
    assert blind == {LabelKind.BRIEF_CAPTION}


def _is_blind(label: Label) -> bool:
    return any(signal.name == "blind_drop" for signal in label.signals)


def test_a_second_model_reads_crops_too(models: tuple[Path, Path], picture: Path) -> None:
    checkpoint = load_checkpoint(str(models[1]))
    model = RegionModel(str(models[1]), checkpoint.model.device, checkpoint.model.dtype, None)
    with Image.open(picture) as image:
        questions = [RegionQuestion(image, box, LabelKind.OCR) for box in BOXES]
        long = model.answer(questions)
    short = _texts(models[1], picture)
    assert any(short)
    assert all((text or "").startswith(start) for text, start in zip(long, short, strict=True))
