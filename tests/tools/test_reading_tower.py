"""The tool that teaches a tower to read: what each image token is to say, and that only the tower changes."""

from pathlib import Path

import numpy as np
import torch
from random_checkpoint import write_random_checkpoint

from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.configuration import OCR_CROP_MIN_PIXELS
from fo1_data.synthetic.snippets import CHARACTERS
from tools.reading_tower import MeanWeights, make_crop, texts_of, train


def test_tokens_name_the_characters_of_the_string_in_order(tmp_path: Path) -> None:
    settings = {OCR_CROP_MIN_PIXELS: 12544}
    checkpoint = load_checkpoint(str(write_random_checkpoint(tmp_path / "random")), settings=settings)
    for seed in range(5):
        for image, snippet in texts_of(seed, held_out=False):
            crop, text = make_crop(checkpoint, image, snippet, np.random.default_rng(seed)), snippet.text
            rows, columns = crop.prepared.grid_hw
            first_row = slice(0, columns // 2)
            numbers, places = crop.characters[first_row].flatten(), crop.places[first_row].flatten()
            assert len(crop.characters) == rows * columns // 4
            shown = places > 0
            assert (np.diff(places[shown]) >= 0).all()
            assert [CHARACTERS[n - 1] for n in numbers[shown]] == [text[p - 1] for p in places[shown]]


def test_only_the_tower_changes(tmp_path: Path) -> None:
    before = load_checkpoint(str(write_random_checkpoint(tmp_path / "random")))
    settings = {OCR_CROP_MIN_PIXELS: 3136}
    train(load_checkpoint(before.name, settings=settings), tmp_path / "out", 0.01, 2, 1e-3, 4)
    after = load_checkpoint(str(tmp_path / "out"))
    assert after.config.ocr_crop_min_pixels == 3136
    changed = {
        name
        for (name, old), new in zip(before.model.named_parameters(), after.model.parameters(), strict=True)
        if not torch.equal(old, new)
    }
    assert changed
    assert all(name.startswith("vision_tower.") for name in changed)


def test_the_mean_of_weights_stands_in_for_them_until_exchanged_back() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    mean = MeanWeights([weight])
    weight.data.fill_(8)
    mean.update(0.25)
    mean.swap()
    assert weight.tolist() == [2, 2]
    mean.swap()
    assert weight.tolist() == [8, 8]
