"""The phase `language`: the language model learns to caption and to point, on oracle features of scenes
without pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.checkpoint_files import save_checkpoint
from fo1_data.model.modeling import Fo1Model, ImageFeatures
from fo1_data.model.prompts import PromptTokenizer, load_tokenizer
from fo1_data.model.region_fusion import PromptEmbeds, embed_prompt
from fo1_data.training.samples.image_labels import ImageLabels
from fo1_data.training.settings import TrainConfig
from tools.fo1_tiny.attributes import attribute_codes
from tools.fo1_tiny.curriculum import QuestionMix, draw_curriculum_questions, draw_indices, draw_num_boxes
from tools.fo1_tiny.phase import EndlessBatches
from tools.fo1_tiny.pointing import (
    PointingLearner,
    SceneQuestions,
    feature_rows_of,
    pack_scene,
    prefix_ids_for,
)
from tools.fo1_tiny.symbols import draw_symbols, oracle_features, region_of

_MAX_BOXES_PER_BATCH = 160


class Config(TrainConfig):
    """Settings of the phase. `stage_steps`: steps per stage of the curriculum; `help_weight`: weight of the
    auxiliary losses."""

    stage_steps: int = 500
    help_weight: float = 0.5


@dataclass(frozen=True)
class SymbolSample:
    """One scene: attribute codes (R, K), boxes (R, 4) in pixels of its canvas, and questions."""

    codes_RK: Tensor
    boxes_R4: Tensor
    canvas_wh: tuple[int, int]
    questions: SceneQuestions


class SymbolBatches(EndlessBatches[list[SymbolSample]]):
    """Scenes without pixels, about equally many boxes in all scenes of a batch."""

    config: Config

    def __init__(self, folder: Path, config: Config, first_batch: int) -> None:
        super().__init__(config, first_batch)
        self._folder = folder

    def load(self) -> None:
        self._tokenizer = load_tokenizer(self._folder)

    def make(self, number: int, rng: np.random.Generator) -> list[SymbolSample]:
        num_boxes = draw_num_boxes(number, self.config.stage_steps, rng)
        num_scenes = max(2, min(self.config.batch_images, _MAX_BOXES_PER_BATCH // num_boxes))
        return [self._sample(number, num_boxes, rng) for _ in range(num_scenes)]

    def _sample(self, number: int, num_boxes: int, rng: np.random.Generator) -> SymbolSample:
        num_boxes = max(2, num_boxes - int(rng.integers(0, 1 + num_boxes // 6)))
        scene = draw_symbols(num_boxes, rng)
        indices = draw_indices(num_boxes, 0.5, rng)
        labels = ImageLabels([region_of(thing, scene.canvas_wh) for thing in scene.things], all_labelled=True)
        stage = number / self.config.stage_steps
        mix = QuestionMix(short_share=1.0, related=1 if stage > 2 else 0, detailed=1 if stage > 1 else 0)
        questions = draw_curriculum_questions(labels, scene.objects, scene.positions, indices, mix, rng)
        return SymbolSample(
            attribute_codes(scene.things),
            torch.from_numpy(scene.boxes_xyxy),
            scene.canvas_wh,
            pack_scene(self._tokenizer, indices, questions),
        )


def oracle_prefix(
    model: Fo1Model, tokenizer: PromptTokenizer, sample: SymbolSample
) -> tuple[PromptEmbeds, list[int]]:
    """The prefix with oracle features and no image tokens, and the rows of the features."""
    width = model.config.region_width
    features_RD = oracle_features(sample.codes_RK, sample.boxes_R4, sample.canvas_wh, width)
    no_tokens = torch.empty(0, model.config.text.hidden_size)
    ids = prefix_ids_for(tokenizer, sample.questions.indices)
    image = ImageFeatures(no_tokens, model.region_projector(features_RD))
    return embed_prompt(model, ids, image, (0, 0)), feature_rows_of(ids, 0)


def train(folder: Path, name: str, config: Config) -> None:
    """Train or resume; at the end the folder `name` has the checkpoint."""
    checkpoint = load_checkpoint(str(folder / "base"))
    model, tokenizer = checkpoint.model.train(), checkpoint.tokenizer
    parts = ("language_model", "region_projector")
    learner = PointingLearner(folder, name, config, model, tokenizer, parts, nn.Module())
    learner.resume()
    batches = SymbolBatches(folder / "base", config, learner.step_number).in_worker()
    while not learner.is_done:
        samples = next(batches)
        prefixes, rows = zip(*(oracle_prefix(model, tokenizer, sample) for sample in samples), strict=True)
        questions = [sample.questions for sample in samples]
        learner.update(learner.loss(questions, prefixes, rows, config.help_weight))
        if learner.is_save_due:
            learner.save()
    save_checkpoint(model, folder / "base", folder / name)
