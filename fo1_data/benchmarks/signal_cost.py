"""What signals cost: regions labelled a second without them, with each second question, and with all.

One run measures every setting over the same images, in turns, so that a machine that is busy for a
while is busy for all of them; of each setting the fastest turn counts. On one CPU thread the clock is
that of the process, so that what else runs there does not count. From decoded pixels to rows:
encoding, the first questions, signals, second questions. Reading, decoding and proposals are left out:
they would make signals look cheaper.
"""

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from fo1_data.boxes import Boxes, as_boxes
from fo1_data.corpus.images import DecodedImage, InputLimits, decode_rgb
from fo1_data.labelling.asking import RowQuestions, fill_rows
from fo1_data.labelling.questions import QuestionPlan
from fo1_data.labelling.rows import LabelEvidence, make_regions
from fo1_data.labelling.second_questions import SecondRound
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.proposals.proposer import Proposals
from fo1_data.synthetic.gold import gold_of
from fo1_data.synthetic.scenes import make_scene
from schemas.corpus import CorpusImage
from schemas.images import EncodedImage, ImageRow
from schemas.jobs import RunConfig, SecondQuestion
from schemas.labels import LabelKind

_DEFAULTS = RunConfig(corpus="-", out="-")


@dataclass(frozen=True)
class Setting:
    """What is asked besides the first questions; None: not even signals are computed."""

    name: str
    second: SecondRound | None


@dataclass(frozen=True)
class Labelled:
    """A scene with its gold, decoded and ready to be opened."""

    image: DecodedImage
    entry: CorpusImage
    boxes_xyxy: Boxes


def settings() -> list[Setting]:
    """Without signals, free ones, each second question asked of every label, the cascade, everything."""
    nothing: frozenset[SecondQuestion] = frozenset()
    everything = frozenset(SecondQuestion)
    return [
        Setting("without_signals", None),
        Setting("free_signals", SecondRound(nothing, 0.0)),
        *(Setting(one.value, SecondRound(frozenset({one}), 1.0)) for one in SecondQuestion),
        Setting(
            "default_cascade", SecondRound(frozenset(_DEFAULTS.second_questions), _DEFAULTS.unsure_below)
        ),
        Setting("all", SecondRound(everything, 1.0)),
    ]


def make_pictures(num_images: int, seed: int, corruption: float) -> list[Labelled]:
    """Generated scenes with their gold; `corruption` (0 to 1) makes them harder than in training."""
    found = []
    for number in range(seed, seed + num_images):
        scene = make_scene(number, corruption=corruption)
        entry = gold_of(scene, f"scene-{number}.png")
        file = io.BytesIO()
        scene.image.save(file, format="PNG")
        boxes = as_boxes([one.box_xyxy for one in entry.regions or []])
        found.append(Labelled(decode_rgb(file.getvalue(), InputLimits()), entry, boxes))
    return found


def bench_signals(
    checkpoint: Checkpoint,
    pictures: Sequence[Labelled],
    kinds: Sequence[LabelKind],
    *,
    rounds: int,
    batch_images: int,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """Measure every setting `rounds` times. Returns the document of `fo1 bench signals --json`."""
    engine = Fo1Engine(checkpoint)
    alone = checkpoint.model.device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    num_regions = sum(len(one.boxes_xyxy) for one in pictures)
    seconds: dict[str, list[float]] = {setting.name: [] for setting in settings()}
    asked: dict[str, float] = {}
    _label(engine, pictures[:1], kinds, None)
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}: {len(pictures)} images, {num_regions} regions")
        for setting in settings():
            started_s = clock()
            labels = [
                label
                for start in range(0, len(pictures), batch_images)
                for label in _label(engine, pictures[start : start + batch_images], kinds, setting.second)
            ]
            _wait(checkpoint)
            seconds[setting.name].append(clock() - started_s)
            asked[setting.name] = _share_asked(labels)
    free = num_regions / min(seconds["without_signals"])
    return {
        "settings": {
            name: {
                "regions_per_s": num_regions / min(times),
                "share_of_without_signals": num_regions / min(times) / free,
                "labels_asked_again": asked[name],
                "seconds": times,
            }
            for name, times in seconds.items()
        },
        "clock": "process" if alone else "wall",
        "default_second_questions": [one.value for one in _DEFAULTS.second_questions],
        "default_unsure_below": _DEFAULTS.unsure_below,
        "images": len(pictures),
        "regions": num_regions,
        "labels": [kind.value for kind in kinds],
        "model": checkpoint.name,
        "device": str(checkpoint.model.device),
        "dtype": str(checkpoint.model.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
    }


def _label(
    engine: Fo1Engine, pictures: Sequence[Labelled], kinds: Sequence[LabelKind], second: SecondRound | None
) -> list[LabelEvidence]:
    """Label a batch as a run does, up to its rows."""
    opened = engine.open([(one.image.rgb, one.boxes_xyxy) for one in pictures])
    try:
        requests = [
            RowQuestions(
                _row(one),
                one.entry,
                image,
                QuestionPlan(kinds, phrases=[p.text for p in one.entry.phrases]).of(image),
            )
            for one, image in zip(pictures, opened, strict=True)
        ]
        if second is None:
            engine.ask([question.question for request in requests for question in request.questions])
            return []
        evidence = fill_rows(engine, requests)
        second.ask(engine, list(zip(opened, evidence, strict=True)))
        return [label for of_image in evidence for label in of_image]
    finally:
        engine.close(opened)


def _row(one: Labelled) -> ImageRow:
    proposals = Proposals(one.boxes_xyxy, None, one.entry.regions)
    return ImageRow(
        image_id=one.image.image_id,
        uri=one.entry.uri,
        uris=[one.entry.uri],
        corpus="scenes",
        split="train",
        image=EncodedImage(bytes=None, path=one.entry.uri),
        width=one.image.width,
        height=one.image.height,
        regions=make_regions(one.image, proposals),
    )


def _share_asked(evidence: Sequence[LabelEvidence]) -> float:
    """Of all labels, those that a second question added a signal to."""
    names = ("ask_back_hit", "absence_probability", "blind_drop")
    again = sum(any(signal.name in names for signal in one.label.signals) for one in evidence)
    return again / len(evidence) if evidence else 0.0


def _wait(checkpoint: Checkpoint) -> None:
    if checkpoint.model.device.type == "cuda":
        torch.cuda.synchronize(checkpoint.model.device)
