"""Phase 3: the language model gets real eyes. Scenes as images, gold, jittered and detected boxes.

First the region projector is fitted so that seen features land where the oracle's did (`fit_projector`);
then the answers train it further together with the language model, and, with `--towers`, the vision towers
too, kept sharp by the attribute readers. Prompts are those of inference: full wordings, image tokens.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset
from torchvision.ops import box_iou

from fo1_data.model.checkpoint import load_checkpoint, save_checkpoint
from fo1_data.model.configuration import load_config
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.processing import ImageProcessor, PreparedImage
from fo1_data.model.prompts import PromptTokenizer, load_tokenizer
from fo1_data.model.region_fusion import PromptEmbeds, embed_prompt
from fo1_data.proposals.tiny_detector import TinyDetector, load_tiny_detector
from fo1_data.synthetic.scenes import Scene, SceneObject, make_scene
from fo1_data.training.packing import pack_questions
from fo1_data.training.samples.questions import ImageLabels
from schemas.corpus import CorpusRegion
from tools.fo1_tiny.curriculum import Mix, draw_curriculum_questions, draw_indices
from tools.fo1_tiny.encoder import IGNORED, jitter, learning_rate
from tools.fo1_tiny.pointing import (
    Asked,
    PointingLearner,
    every,
    feature_rows_of,
    prefix_ids_for,
    save_state,
)
from tools.fo1_tiny.symbols import ATTRIBUTES, attribute_codes, oracle_features, region_of
from tools.fo1_tiny.towers import Readers, attribute_loss

_DENSE = (40, 100)
_USUAL = (3, 20)
_USUAL_MIX = Mix(brief=1, detailed=3, ground=5, related=3, count=2, choice=2, ocr=1)
# A dense scene comes alone in its batch: the room is for more questions.
_DENSE_MIX = Mix(brief=4, detailed=4, ground=12, related=6, count=4, choice=4, ocr=1)


@dataclass(frozen=True)
class SightSample:
    """One image ready for the model; `codes` (R, 27) are its boxes' true attributes."""

    prepared: PreparedImage
    codes: Tensor
    asked: Asked


class SightBatches(IterableDataset):
    """Batches of samples; batch `i` has seeds of its own, so that a run can resume anywhere."""

    def __init__(
        self,
        folder: Path,
        first_batch: int,
        batch_size: int,
        seed: int,
        short_share: float,
        random_share: float,
        dense_share: float,
    ) -> None:
        self.folder, self.first_batch, self.batch_size, self.seed = folder, first_batch, batch_size, seed
        self.short_share, self.random_share = short_share, random_share
        self.dense_share = dense_share

    def __iter__(self) -> Iterator[list[SightSample]]:
        processor = ImageProcessor(self.folder, load_config(self.folder))
        tokenizer, detector = load_tokenizer(self.folder), load_tiny_detector()
        batch = self.first_batch
        while True:
            rng = np.random.default_rng([self.seed, batch])
            dense = rng.random() < self.dense_share
            first = self.seed + batch * self.batch_size
            scenes = [
                make_scene(first + i, _DENSE if dense else _USUAL)
                for i in range(1 if dense else self.batch_size)
            ]
            yield [self._sample(processor, tokenizer, detector, scene, rng) for scene in scenes]
            batch += 1

    def _sample(
        self,
        processor: ImageProcessor,
        tokenizer: PromptTokenizer,
        detector: TinyDetector,
        scene: Scene,
        rng: np.random.Generator,
    ) -> SightSample:
        things, boxes = draw_boxes(scene, detector, rng)
        positions = [position for position, thing in enumerate(things) if thing is not None]
        objects = [thing for thing in things if thing is not None]
        known = ImageLabels([_gold_of(thing, scene) for thing in things], all_labelled=True)
        indices = draw_indices(len(things), self.random_share, rng)
        mix = _DENSE_MIX if len(objects) > _USUAL[1] else _USUAL_MIX
        mix = replace(mix, short_share=self.short_share)
        questions = draw_curriculum_questions(known, objects, positions, indices, mix, rng)
        asked = Asked(indices, questions, pack_questions(tokenizer, questions))
        return SightSample(processor.prepare(scene.image, boxes), attribute_codes(things), asked)


def _gold_of(thing: SceneObject | None, scene: Scene) -> CorpusRegion | None:
    """An object's gold; what is no text reads as nothing."""
    region = region_of(thing, scene.image.size)
    return region.model_copy(update={"text": thing.text or ""}) if region and thing else None


def draw_boxes(
    scene: Scene, detector: TinyDetector, rng: np.random.Generator
) -> tuple[list[SceneObject | None], np.ndarray]:
    """What is shown to the model: exact, jittered or detected boxes, and some on background, shuffled."""
    things: list[SceneObject | None] = list(scene.objects)
    boxes = np.array([thing.box_xyxy for thing in scene.objects], np.float32)
    how = rng.random()
    if how < 0.3:
        things, boxes = _detected(scene, boxes, detector, rng)
    elif how < 0.6:
        boxes = jitter(boxes, scene.image.size, rng, 0.06)
    if rng.random() < 0.3:
        things = things + [None] * len(scene.distractors_xyxy)
        boxes = np.concatenate([boxes, np.array(scene.distractors_xyxy, np.float32).reshape(-1, 4)])
    order = rng.permutation(len(things))[:100]
    kept = [things[i] for i in order]
    if not any(thing is not None for thing in kept):
        return list(scene.objects[:1]), np.array([scene.objects[0].box_xyxy], np.float32)
    return kept, boxes[order]


def _detected(
    scene: Scene, gold_boxes: np.ndarray, detector: TinyDetector, rng: np.random.Generator
) -> tuple[list[SceneObject | None], np.ndarray]:
    """The detector's boxes at a low floor; each is the object it overlaps by half, or background."""
    [(found, scores)] = detector.detect([scene.image])
    found = found[scores > float(rng.uniform(0.05, 0.25))]
    if not len(found):
        return list(scene.objects), gold_boxes
    overlaps = box_iou(torch.from_numpy(found), torch.from_numpy(gold_boxes)).numpy()
    best = overlaps.argmax(1)
    things: list[SceneObject | None] = []
    taken: set[int] = set()
    for row, index in enumerate(best.tolist()):
        clear = overlaps[row, index] >= 0.5 and index not in taken
        taken |= {index} if clear else set()
        things.append(scene.objects[index] if clear else None)
    return things, found


def seen_prefixes(
    model: Fo1Model, tokenizer: PromptTokenizer, samples: list[SightSample]
) -> tuple[list[PromptEmbeds], list[list[int]], Tensor]:
    """The prefixes of a batch, the rows of the region features in each, and all region embeddings."""
    encoded = model.encode_images([sample.prepared for sample in samples])
    prefixes, rows = [], []
    for sample, one in zip(samples, encoded, strict=True):
        ids = prefix_ids_for(tokenizer, sample.asked.indices)
        prefixes.append(embed_prompt(model, ids, one, sample.prepared.grid_hw))
        rows.append(feature_rows_of(ids, len(one.image_embeds)))
    return prefixes, rows, torch.cat([one.region_embeds for one in encoded])


class AttributeHelp:
    """Training-only: region embeddings must tell every box's attributes. Has an optimiser of its own."""

    def __init__(self, width: int) -> None:
        self.readers = Readers(width)
        self.optimiser = torch.optim.AdamW(self.readers.parameters(), lr=3e-3)

    def loss(self, embeds_RD: Tensor, samples: list[SightSample]) -> Tensor:
        """Summed cross-entropy of the four attributes over all boxes."""
        classes = classes_of_codes(torch.cat([sample.codes for sample in samples]))
        return attribute_loss(self.readers(functional.layer_norm(embeds_RD, embeds_RD.shape[-1:])), classes)

    def update(self) -> None:
        """One step on the gradients that the joint loss left; then they are dropped."""
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)


def classes_of_codes(codes_RK: Tensor) -> dict[str, Tensor]:
    """One-hot attributes side by side to classes; background has a shape and nothing else."""
    background = codes_RK[:, len(ATTRIBUTES["shape"]) - 1] > 0
    classes, start = {}, 0
    for name, words in ATTRIBUTES.items():
        found = codes_RK[:, start : start + len(words)].argmax(1)
        classes[name] = found if name == "shape" else found.masked_fill(background, IGNORED)
        start += len(words)
    return classes


class PlaceReader(nn.Module):
    """Training-only: region embeddings must tell where the box stands, by thirds and by its centre."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.thirds = nn.Linear(width, 6)
        self.centre = nn.Linear(width, 2)

    def loss(self, embeds_RD: Tensor, samples: list[SightSample]) -> Tensor:
        """Cross-entropy of column and row plus the squared error of the centre (in image sides)."""
        centres = torch.cat([centres_of(sample.prepared) for sample in samples])
        thirds = (centres * 3).long().clamp(0, 2)
        logits = self.thirds(embeds_RD)
        by_axis = functional.cross_entropy(logits[:, :3], thirds[:, 0]) + functional.cross_entropy(
            logits[:, 3:], thirds[:, 1]
        )
        return by_axis + 4 * functional.mse_loss(self.centre(embeds_RD), centres)


def centres_of(image: PreparedImage) -> Tensor:
    """(R, 2) centres of the boxes as shares of the image's width and height."""
    height, width = image.aux_image.shape[-2:]
    boxes = image.aux_boxes
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    return middle / torch.tensor([width, height], dtype=torch.float32)


def fit_projector(
    model: Fo1Model, language: Fo1Model, batches: Iterator[list[SightSample]], num_batches: int, steps: int
) -> float:
    """Fit `model`'s region projector to `language`'s on oracle features; returns the variance left."""
    seen, wanted = [], []
    with torch.no_grad():
        for _ in range(num_batches):
            for sample in next(batches):
                features = region_features(model, sample.prepared)
                grid = sample.prepared.grid_hw
                oracle = oracle_features(
                    sample.codes, sample.prepared.vt_boxes, (grid[1] * 14, grid[0] * 14), features.shape[1]
                )
                seen.append(features)
                wanted.append(language.region_projector(oracle))
    x, y = torch.cat(seen), torch.cat(wanted)
    optimiser = torch.optim.AdamW(model.region_projector.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (512,))
        loss = functional.mse_loss(model.region_projector(x[rows]), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return (functional.mse_loss(model.region_projector(x), y) / y.var()).item()


def soften_regions(
    model: Fo1Model,
    places: PlaceReader,
    batches: Iterator[list[SightSample]],
    scale: float,
    num_batches: int,
    steps: int,
) -> None:
    """Scale what the towers say of a region down, so that the box embedding added to it can be read.

    At unit scale the pooled features drown it: the best linear reading of a box's centre is .07 image heights
    off, at a tenth .012. The projector is refitted to say what it said before, and where the box is.
    """
    with torch.no_grad():
        samples = [sample for _ in range(num_batches) for sample in next(batches)]
        wanted = model.region_projector(torch.cat([region_features(model, one.prepared) for one in samples]))
        for norm in (model.region_encoder.aux_region_norm, model.region_encoder.vt_region_norm):
            norm.weight.mul_(scale)
            norm.bias.mul_(scale)
        next(model.region_projector.parameters()).div_(scale)
        features = torch.cat([region_features(model, one.prepared) for one in samples])
    learned = [*model.region_projector.parameters(), *places.parameters()]
    owner = torch.tensor([i for i, one in enumerate(samples) for _ in one.codes])
    optimiser = torch.optim.AdamW(learned, lr=2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, steps)
    for step in range(steps):
        chosen = torch.randint(len(samples), (48,)).tolist()
        rows = torch.cat([(owner == one).nonzero()[:, 0] for one in chosen])
        embeds = model.region_projector(features[rows])
        said = functional.mse_loss(embeds, wanted[rows]) / wanted.var()
        placed = places.loss(embeds, [samples[one] for one in chosen])
        optimiser.zero_grad()
        (said + 0.05 * placed).backward()
        optimiser.step()
        schedule.step()
        if step % 500 == 0 or step == steps - 1:
            print(f"softened: {said.item():.4f} of the variance left, place {placed.item():.4f}", flush=True)


def region_features(model: Fo1Model, image: PreparedImage) -> Tensor:
    """Features (R, Ca + Cv) of one image before the projection."""
    kept: list[Tensor] = []
    hook = model.region_projector.register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    model.encode_images([image])
    hook.remove()
    return kept[0]


def train(arguments: argparse.Namespace) -> None:
    """Train or resume `{name}.pt` in the folder; ends with the checkpoint folder `{name}`."""
    folder, steps = arguments.folder, arguments.steps
    torch.manual_seed(arguments.seed)
    model = load_checkpoint(str(folder / arguments.start)).model.train()
    tokenizer = load_tokenizer(folder / arguments.start)
    places = PlaceReader(model.config.text.hidden_size)
    attributes = AttributeHelp(model.config.text.hidden_size)
    learner = PointingLearner(model, tokenizer, tuple(arguments.parts.split(",")), places)
    state_file = folder / f"{arguments.name}.pt"

    def batches_from(first: int) -> Iterator[list[SightSample]]:
        dataset = SightBatches(
            folder / "base",
            first,
            arguments.batch,
            arguments.seed,
            arguments.short,
            arguments.random_indices,
            arguments.dense,
        )
        return iter(DataLoader(dataset, batch_size=None, num_workers=1, prefetch_factor=6, collate_fn=_as_is))

    if not learner.resume(state_file) and arguments.language:
        language = load_checkpoint(str(folder / arguments.language)).model
        model.language_model.load_state_dict(language.language_model.state_dict())
        left = fit_projector(
            model, language, batches_from(10_000_000), arguments.fit_batches, arguments.fit_steps
        )
        print(f"projector fitted: {left:.4f} of the variance left", flush=True)
    if learner.step_number == 0 and arguments.soften < 1:
        batches = batches_from(20_000_000)
        soften_regions(model, places, batches, arguments.soften, arguments.fit_batches, arguments.fit_steps)
    loader = batches_from(learner.step_number)
    began = time.monotonic()

    def save() -> None:
        save_state(learner.state(), state_file)
        save_checkpoint(model, folder / "base", folder / arguments.name)

    while learner.step_number < steps:
        samples = next(loader)
        prefixes, rows, embeds = seen_prefixes(model, tokenizer, samples)
        loss = learner.loss([sample.asked for sample in samples], prefixes, rows, arguments.help_weight)
        loss = loss + 0.4 * places.loss(embeds, samples) + 0.2 * attributes.loss(embeds, samples)
        learner.update(loss, learning_rate(learner.step_number, steps, arguments.lr))
        attributes.update()
        learner.report(folder / f"{arguments.name}.jsonl", began)
        every(learner.step_number, 100, steps, save)


def _as_is(samples: list[SightSample]) -> list[SightSample]:
    return samples


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("name", help="of this phase: NAME.pt, NAME.jsonl and the checkpoint folder NAME")
    parser.add_argument("--start", default="towers", help="checkpoint folder that gives the towers")
    parser.add_argument("--language", help="checkpoint folder whose language model is taken over, once")
    parser.add_argument("--parts", default="language_model,region_projector", help="what trains")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=60_000_000)
    parser.add_argument("--short", type=float, default=0.3, help="share of short wordings")
    parser.add_argument("--random-indices", type=float, default=0.3)
    parser.add_argument("--dense", type=float, default=0.06, help="share of scenes of 40 to 100 boxes")
    parser.add_argument("--help-weight", type=float, default=0.5)
    parser.add_argument("--soften", type=float, default=1.0, help="scale of region features, once")
    parser.add_argument("--fit-batches", type=int, default=100)
    parser.add_argument("--fit-steps", type=int, default=4000)
    torch.set_num_threads(1)
    train(parser.parse_args())
