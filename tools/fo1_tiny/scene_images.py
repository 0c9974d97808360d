"""Batches of rendered scenes with questions: exact, jittered or detected boxes, prompts as at inference."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

from fo1_data.model.configuration import load_config
from fo1_data.model.processing import ImageProcessor, PreparedImage
from fo1_data.model.prompts import load_tokenizer
from fo1_data.proposals.tiny_detector import TinyDetector, load_tiny_detector
from fo1_data.synthetic.scenes import Scene, SceneObject, make_scene
from fo1_data.training.samples.augmentation import jitter_boxes
from fo1_data.training.samples.image_labels import ImageLabels
from fo1_data.training.settings import TrainConfig
from schemas.corpus import CorpusRegion
from tools.fo1_tiny.attributes import attribute_codes
from tools.fo1_tiny.curriculum import QuestionMix, draw_curriculum_questions, draw_indices
from tools.fo1_tiny.phase import EndlessBatches
from tools.fo1_tiny.pointing import SceneQuestions, pack_scene
from tools.fo1_tiny.symbols import region_of

_MAX_BOXES = 100
_NUM_OBJECTS, _NUM_DENSE_OBJECTS = (3, 20), (40, 100)
_MIX = QuestionMix(brief=1, detailed=3, ground=5, related=3, count=2, presence=2, ocr=1)
# A dense scene is alone in its batch, which leaves room for more questions.
_DENSE_MIX = QuestionMix(brief=4, detailed=4, ground=12, related=6, count=4, presence=4, ocr=1)


class SceneConfig(TrainConfig):
    """Shares of short wordings, of scenes with random index tokens, and of scenes of 40 to 100 boxes."""

    short_share: float = 0.3
    random_index_share: float = 0.3
    dense_share: float = 0.06


@dataclass(frozen=True)
class SceneSample:
    """An image ready for the model, the attribute codes (R, K) of its boxes, and questions."""

    prepared: PreparedImage
    codes_RK: Tensor
    questions: SceneQuestions


class SceneBatches(EndlessBatches[list[SceneSample]]):
    """Batches of scene samples."""

    config: SceneConfig

    def __init__(self, folder: Path, config: SceneConfig, first_batch: int) -> None:
        super().__init__(config, first_batch)
        self._folder = folder

    def load(self) -> None:
        self._processor = ImageProcessor(self._folder, load_config(self._folder))
        self._tokenizer, self._detector = load_tokenizer(self._folder), load_tiny_detector()

    def make(self, number: int, rng: np.random.Generator) -> list[SceneSample]:
        is_dense = rng.random() < self.config.dense_share
        seeds = self.scene_seeds(number)
        if is_dense:
            return [self._sample(make_scene(seeds[0], _NUM_DENSE_OBJECTS), rng)]
        scenes = [make_scene(seed, _NUM_OBJECTS) for seed in seeds]
        return [self._sample(scene, rng) for scene in scenes]

    def _sample(self, scene: Scene, rng: np.random.Generator) -> SceneSample:
        things, boxes_R4 = draw_boxes(scene, self._detector, rng)
        positions = [position for position, thing in enumerate(things) if thing is not None]
        objects = [thing for thing in things if thing is not None]
        labels = ImageLabels([_gold_region(thing, scene) for thing in things], all_labelled=True)
        indices = draw_indices(len(things), self.config.random_index_share, rng)
        mix = _DENSE_MIX if len(objects) > _NUM_OBJECTS[1] else _MIX
        mix = replace(mix, short_share=self.config.short_share)
        questions = draw_curriculum_questions(labels, objects, positions, indices, mix, rng)
        return SceneSample(
            self._processor.prepare(scene.image, boxes_R4),
            attribute_codes(things),
            pack_scene(self._tokenizer, indices, questions),
        )


def _gold_region(thing: SceneObject | None, scene: Scene) -> CorpusRegion | None:
    """An object's gold; the text of an object that is no text is empty."""
    region = region_of(thing, scene.image.size)
    return region.model_copy(update={"text": thing.text or ""}) if region and thing else None


def draw_boxes(
    scene: Scene, detector: TinyDetector, rng: np.random.Generator
) -> tuple[list[SceneObject | None], np.ndarray]:
    """Exact, jittered or detected boxes (R, 4) and some on background, shuffled, and the object in each.

    At most 100, at least one of them with an object.
    """
    things: list[SceneObject | None] = list(scene.objects)
    boxes_R4 = np.array([thing.box_xyxy for thing in scene.objects], np.float32)
    kind = rng.random()
    if kind < 0.3:
        things, boxes_R4 = _detect_boxes(scene, boxes_R4, detector, rng)
    elif kind < 0.6:
        boxes_R4 = jitter_boxes(boxes_R4, scene.image.size, 0.06, rng)
    if rng.random() < 0.3:
        things = things + [None] * len(scene.distractors_xyxy)
        boxes_R4 = np.concatenate([boxes_R4, np.array(scene.distractors_xyxy, np.float32).reshape(-1, 4)])
    order = rng.permutation(len(things))[:_MAX_BOXES]
    chosen = [things[i] for i in order]
    if not any(thing is not None for thing in chosen):
        return list(scene.objects[:1]), np.array([scene.objects[0].box_xyxy], np.float32)
    return chosen, boxes_R4[order]


def _detect_boxes(
    scene: Scene, gold_R4: np.ndarray, detector: TinyDetector, rng: np.random.Generator
) -> tuple[list[SceneObject | None], np.ndarray]:
    """The detector's boxes at a low score floor; each shows the object with an IoU of at least one half, or
    background."""
    (found,) = detector.detect([scene.image])
    boxes_R4 = found.boxes_xyxy[found.scores > float(rng.uniform(0.05, 0.25))]
    if not len(boxes_R4):
        return list(scene.objects), gold_R4
    ious = box_iou(torch.from_numpy(boxes_R4), torch.from_numpy(gold_R4)).numpy()
    things: list[SceneObject | None] = []
    taken: set[int] = set()
    for row, index in enumerate(ious.argmax(1).tolist()):
        is_match = ious[row, index] >= 0.5 and index not in taken
        taken |= {index} if is_match else set()
        things.append(scene.objects[index] if is_match else None)
    return things, boxes_R4
