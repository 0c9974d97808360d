"""The cost of signals: regions/s without signals, with each second question, and with all of them.

A run measures every setting over the same images, in rounds, so that other load on the machine affects all
settings alike; the fastest round of each setting counts. With one CPU thread, the clock is the CPU time of
the process, so that other load does not count. The time runs from decoded pixels to filled rows: encoding,
first questions, signals, second questions. Reading, decoding and proposals are left out, because they would
make signals look cheaper.
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
from schemas.jobs import RunConfig
from schemas.labels import LabelKind
from schemas.setting_values import SecondQuestion

_DEFAULTS = RunConfig(corpus="-", out="-")


@dataclass(frozen=True)
class SignalSetting:
    """A setting to measure. `second`: the second questions; None also leaves out the signals."""

    name: str
    second: SecondRound | None


@dataclass(frozen=True)
class BenchImage:
    """A decoded scene with its gold and its boxes."""

    decoded: DecodedImage
    entry: CorpusImage
    boxes_xyxy: Boxes


def settings() -> list[SignalSetting]:
    """Without signals, with the free ones, with each second question for every label, with the default
    settings, and with all second questions for every label."""
    return [
        SignalSetting("without_signals", None),
        SignalSetting("free_signals", SecondRound(frozenset(), 0.0)),
        *(
            SignalSetting(question.value, SecondRound(frozenset({question}), 1.0))
            for question in SecondQuestion
        ),
        SignalSetting(
            "default_cascade", SecondRound(frozenset(_DEFAULTS.second_questions), _DEFAULTS.unsure_below)
        ),
        SignalSetting("all", SecondRound(frozenset(SecondQuestion), 1.0)),
    ]


def make_images(num_images: int, seed: int, corruption: float) -> list[BenchImage]:
    """Generated scenes with their gold. `corruption`: 0 to 1, how much harder to see than in training."""
    images = []
    for number in range(seed, seed + num_images):
        scene = make_scene(number, corruption=corruption)
        entry = gold_of(scene, f"scene-{number}.png")
        file = io.BytesIO()
        scene.image.save(file, format="PNG")
        boxes = as_boxes([region.box_xyxy for region in entry.regions or []])
        images.append(BenchImage(decode_rgb(file.getvalue(), InputLimits()), entry, boxes))
    return images


def bench_signals(
    checkpoint: Checkpoint,
    images: Sequence[BenchImage],
    kinds: Sequence[LabelKind],
    *,
    rounds: int,
    batch_images: int,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Measure every setting `rounds` times and return the document of `fo1 bench signals --json`.

    `report` is called with progress messages.
    """
    engine = Fo1Engine(checkpoint)
    single_thread = checkpoint.model.device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if single_thread else time.perf_counter
    num_regions = sum(len(image.boxes_xyxy) for image in images)
    seconds: dict[str, list[float]] = {setting.name: [] for setting in settings()}
    shares_asked_again: dict[str, float] = {}
    _label(engine, images[:1], kinds, None)
    for number in range(rounds):
        report(f"round {number + 1} of {rounds}: {len(images)} images, {num_regions} regions")
        for setting in settings():
            started_s = clock()
            evidence = [
                label
                for start in range(0, len(images), batch_images)
                for label in _label(engine, images[start : start + batch_images], kinds, setting.second)
            ]
            _wait(checkpoint)
            seconds[setting.name].append(clock() - started_s)
            shares_asked_again[setting.name] = _share_asked_again(evidence)
    baseline = num_regions / min(seconds["without_signals"])
    return {
        "settings": {
            name: {
                "regions_per_s": num_regions / min(times),
                "share_of_without_signals": num_regions / min(times) / baseline,
                "labels_asked_again": shares_asked_again[name],
                "seconds": times,
            }
            for name, times in seconds.items()
        },
        "clock": "process" if single_thread else "wall",
        "default_second_questions": [question.value for question in _DEFAULTS.second_questions],
        "default_unsure_below": _DEFAULTS.unsure_below,
        "images": len(images),
        "regions": num_regions,
        "labels": [kind.value for kind in kinds],
        "model": checkpoint.name,
        "device": str(checkpoint.model.device),
        "dtype": str(checkpoint.model.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
    }


def _label(
    engine: Fo1Engine, images: Sequence[BenchImage], kinds: Sequence[LabelKind], second: SecondRound | None
) -> list[LabelEvidence]:
    """Label a batch as a run does, up to its filled rows."""
    opened = engine.open([(image.decoded.rgb, image.boxes_xyxy) for image in images])
    try:
        requests = [
            RowQuestions(
                _row(image),
                image.entry,
                open_image,
                image.decoded.rgb,
                QuestionPlan(kinds, phrases=[phrase.text for phrase in image.entry.phrases]).of(open_image),
            )
            for image, open_image in zip(images, opened, strict=True)
        ]
        if second is None:
            engine.ask([question.question for request in requests for question in request.questions])
            return []
        evidence = fill_rows(engine, requests)
        second.ask(engine, list(zip(opened, evidence, strict=True)))
        return [label for labels in evidence for label in labels]
    finally:
        engine.close(opened)


def _row(image: BenchImage) -> ImageRow:
    proposals = Proposals(image.boxes_xyxy, None, image.entry.regions)
    return ImageRow(
        image_id=image.decoded.image_id,
        uri=image.entry.uri,
        uris=[image.entry.uri],
        corpus="scenes",
        split="train",
        image=EncodedImage(bytes=None, path=image.entry.uri),
        width=image.decoded.width,
        height=image.decoded.height,
        regions=make_regions(image.decoded, proposals),
    )


def _share_asked_again(evidence: Sequence[LabelEvidence]) -> float:
    """The share of labels with a signal from a second question."""
    names = ("ask_back_hit", "absence_probability", "blind_drop")
    num_again = sum(any(signal.name in names for signal in item.label.signals) for item in evidence)
    return num_again / len(evidence) if evidence else 0.0


def _wait(checkpoint: Checkpoint) -> None:
    if checkpoint.model.device.type == "cuda":
        torch.cuda.synchronize(checkpoint.model.device)
