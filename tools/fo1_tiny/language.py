"""Phase 2: the language model learns to caption and to point, on oracle features of scenes without pixels."""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from fo1_data.model.checkpoint import load_checkpoint, save_checkpoint
from fo1_data.model.modeling import Fo1Model, ImageFeatures
from fo1_data.model.prompts import PromptTokenizer, load_tokenizer
from fo1_data.model.region_fusion import PromptEmbeds, embed_prompt
from fo1_data.training.packing import pack_questions
from fo1_data.training.samples.questions import ImageLabels
from tools.fo1_tiny.curriculum import (
    Mix,
    draw_curriculum_questions,
    draw_indices,
    draw_num_boxes,
)
from tools.fo1_tiny.encoder import learning_rate
from tools.fo1_tiny.pointing import (
    Asked,
    PointingLearner,
    every,
    feature_rows_of,
    prefix_ids_for,
    save_state,
)
from tools.fo1_tiny.symbols import attribute_codes, draw_symbols, oracle_features, region_of


@dataclass(frozen=True)
class SymbolSample:
    """One scene's oracle: attribute codes (R, 27), boxes (R, 4) in pixels of its canvas, and questions."""

    codes: Tensor
    boxes: Tensor
    canvas_wh: tuple[int, int]
    asked: Asked


class SymbolBatches(IterableDataset):
    """Batches of samples; batch `i` has a seed of its own, so that a run can resume anywhere."""

    def __init__(self, folder: Path, first_batch: int, batch_size: int, seed: int, scale: int) -> None:
        self.folder, self.first_batch = folder, first_batch
        self.batch_size, self.seed, self.scale = batch_size, seed, scale

    def __iter__(self) -> Iterator[list[SymbolSample]]:
        tokenizer = load_tokenizer(self.folder)
        batch = self.first_batch
        while True:
            rng = np.random.default_rng([self.seed, batch])
            num_boxes = draw_num_boxes(batch, self.scale, rng)
            yield [
                self._sample(tokenizer, batch, num_boxes, rng)
                for _ in range(max(2, min(self.batch_size, 160 // num_boxes)))
            ]
            batch += 1

    def _sample(
        self, tokenizer: PromptTokenizer, batch: int, num_boxes: int, rng: np.random.Generator
    ) -> SymbolSample:
        num_boxes = max(2, num_boxes - int(rng.integers(0, 1 + num_boxes // 6)))
        scene = draw_symbols(num_boxes, rng)
        indices = draw_indices(num_boxes, 0.5, rng)
        known = ImageLabels([region_of(thing, scene.canvas_wh) for thing in scene.things], all_labelled=True)
        stage = batch / self.scale
        mix = Mix(
            short_share=1.0,
            related=1 if stage > 2 else 0,
            detailed=1 if stage > 1 else 0,
        )
        questions = draw_curriculum_questions(known, scene.objects, scene.positions, indices, mix, rng)
        asked = Asked(indices, questions, pack_questions(tokenizer, questions))
        boxes = torch.from_numpy(scene.boxes_xyxy)
        return SymbolSample(attribute_codes(scene.things), boxes, scene.canvas_wh, asked)


def oracle_prefix(
    model: Fo1Model, tokenizer: PromptTokenizer, sample: SymbolSample
) -> tuple[PromptEmbeds, list[int]]:
    """The prefix on oracle features, with an image of no tokens; and the rows of the features."""
    features = oracle_features(sample.codes, sample.boxes, sample.canvas_wh, model.config.region_width)
    no_tokens = torch.empty(0, model.config.text.hidden_size)
    ids = prefix_ids_for(tokenizer, sample.asked.indices)
    prefix = embed_prompt(model, ids, ImageFeatures(no_tokens, model.region_projector(features)), (0, 0))
    return prefix, feature_rows_of(ids, 0)


def train(
    folder: Path, steps: int, batch_size: int, peak: float, seed: int, scale: int, help_weight: float
) -> None:
    """Train or resume `language.pt`; ends with the checkpoint folder `language`."""
    torch.manual_seed(seed)
    loaded = load_checkpoint(str(folder / "base"))
    model, tokenizer = loaded.model.train(), loaded.tokenizer
    learner = PointingLearner(model, tokenizer, ("language_model", "region_projector"))
    learner.resume(folder / "language.pt")
    batches = SymbolBatches(folder / "base", learner.step_number, batch_size, seed, scale)
    loader = iter(DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=8, collate_fn=_as_is))
    began = time.monotonic()
    while learner.step_number < steps:
        samples = next(loader)
        prefixes, rows = zip(*(oracle_prefix(model, tokenizer, sample) for sample in samples), strict=True)
        loss = learner.loss([sample.asked for sample in samples], prefixes, rows, help_weight)
        learner.update(loss, learning_rate(learner.step_number, steps, peak))
        learner.report(folder / "language.jsonl", began)
        every(learner.step_number, 200, steps, lambda: save_state(learner.state(), folder / "language.pt"))
    save_checkpoint(model, folder / "base", folder / "language")


def _as_is(samples: list[SymbolSample]) -> list[SymbolSample]:
    return samples


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=40_000_000)
    parser.add_argument("--scale", type=int, default=500)
    parser.add_argument("--help-weight", type=float, default=0.5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    train(
        arguments.folder, arguments.steps, arguments.batch, arguments.lr, arguments.seed, arguments.scale,
        arguments.help_weight,
    )  # fmt: skip
