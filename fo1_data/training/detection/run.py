"""A training run of the detector: `fo1 train-detector`.

It begins with a detector of this kind, the bundled one by default, trains all of its weights on images of
which every box is known, and keeps the weights that did best on validation images (with none: on training
images), the first ones included. The result is a folder that `--proposals` takes. Step `i` depends only on
the seed and `i`, so that a resumed run gives the same weights as an undisturbed one.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from fo1_data.errors import ConfigError
from fo1_data.model.checksums import forget_sums, write_sums
from fo1_data.model.device import choose_device
from fo1_data.plurals import counted
from fo1_data.proposals.identity import (
    DETECTOR_CONFIG,
    DETECTOR_WEIGHTS,
    TINY_KIND,
    tiny_detector_weights,
)
from fo1_data.proposals.tiny_detector import LONG_EDGE_KEY, LONG_EDGE_MAX_PX, load_tiny_detector
from fo1_data.storage.addresses import normalise
from fo1_data.training.detection.measuring import count_found
from fo1_data.training.detection.samples import BoxedImages
from fo1_data.training.detection.seen_size import fitting_long_edge_px
from fo1_data.training.detection.settings import DetectorConfig
from fo1_data.training.detection.state import DetectorState, load_other
from fo1_data.training.detection.steps import DetectorSteps
from fo1_data.training.detection.views import LARGE_PX
from fo1_data.training.layout import STATE
from fo1_data.training.out_folder import refuse_other_folder
from fo1_data.training.samples.held_out import open_sources
from fo1_data.training.samples.source import list_groups, source_of
from fo1_data.training.settings import TrainConfig
from fo1_data.training.stop_signals import stop_signals

Figures = dict[str, float | int]


def train_detector(
    addresses: Sequence[str],
    out: Path,
    config: DetectorConfig,
    detector: str = "fo1-tiny",
    validation: Sequence[str] = (),
    test: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
    stop_requested: Callable[[], str | None] = lambda: None,
    *,
    resume_from: Path | None = None,
) -> dict[str, Any]:
    """Train a detector and write it to the folder `out`, resuming a run in it; returns what the run did.

    `detector`: `fo1-tiny` or the folder of an earlier run. `resume_from`: the folder of another run, whose
    weights, optimiser and step a new run in `out` begins with. `test`: datasets and corpora to measure
    `detector` and the kept weights on; nothing is chosen by them. `stop_requested`: asked before each step
    and each image to measure; a name ends the run there, saved, as SIGINT and SIGTERM do. Raises ConfigError
    if `out` holds something else or `resume_from` no run with steps left, CheckpointError, DatasetError or
    CorpusError for what cannot be read, RunError if the loss is not finite.
    """
    refuse_other_folder(out)
    other = None
    if resume_from is not None and not (out / STATE).is_file():
        other = load_other(resume_from, config.steps)
    weights = tiny_detector_weights(detector)
    if weights is None:
        raise ConfigError(f"--detector {detector}: neither fo1-tiny nor a folder of `fo1 train-detector`")
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    first = load_tiny_detector(choose_device(config.device), weights)
    data = open_images(addresses, validation, test, config)
    first.long_edge_max_px = config.long_edge_px or fitting_long_edge_px(data.train)
    made_from = {
        **config.deciding(),
        "detector_sha256": first.sha256,
        "data": sorted(map(normalise, addresses)),
        "validation": sorted(map(normalise, validation)),
        **data.sizes(),
        "long_edge_px": first.long_edge_max_px,
    }
    for line in data.lines(first.long_edge_max_px):
        say(line)
    steps = DetectorSteps(first, data.train, data.measured, config, DetectorState(out, made_from), other)
    if steps.number:
        say(f"resuming at step {steps.number} of {config.steps}")
    say(f"{config.steps} steps show each view about {steps.passes:.3g} times")
    tests: dict[str, Figures] = {}
    with stop_signals() as signal_received:

        def request() -> str | None:
            return signal_received() or stop_requested()

        stopped = steps.train(say, request)
        if stopped is None:
            base = detector if resume_from is None else str(resume_from)
            history = {"base": base, "trained_on": list(addresses), "step": steps.best[0]}
            save_detector(steps.best_weights, out, history, first.long_edge_max_px)
        if stopped is None and data.test is not None:
            of_weights = {"test_before": weights, "test": out / DETECTOR_WEIGHTS}
            stopped = _measure_on_test(data.test, of_weights, config, tests, say, request)
    return _document(out, steps, data, first.long_edge_max_px, stopped, tests)


@dataclass(frozen=True)
class DetectorData:
    """The images of a run: to train on, to choose the weights by, to test on."""

    train: BoxedImages
    validation: BoxedImages | None
    test: BoxedImages | None

    @property
    def measured(self) -> BoxedImages:
        """What the weights are chosen by: without validation images, those that are trained on."""
        return self.validation or self.train

    def sizes(self) -> dict[str, int]:
        """How many images there are to train and to validate on."""
        held_out = self.validation.found.num_images if self.validation is not None else 0
        return {"images": self.train.found.num_images, "validation_images": held_out}

    def lines(self, long_edge_px: int) -> list[str]:
        """What a person must know of them before the first step; `long_edge_px`: what they are shrunk to."""
        sizes, found = self.sizes(), self.train.found
        line = f"{counted(sizes['images'], 'image')} to train on"
        if len(self.train) > sizes["images"]:
            line += f" in {len(self.train):,} views, {self.train.num_empty:,} of them without a box"
        held_out = sizes["validation_images"]
        line += f", {held_out:,} to validate on" if held_out else ", none to validate on"
        lines = [line, *self.train.left_out()]
        if not held_out:
            lines.append("the weights to keep are chosen by training images: name others with --validation")
        if found.num_shrunk:
            lines.append(
                f"{counted(found.num_shrunk, 'image')} over {LARGE_PX:,} px: shown shrunk to "
                f"{long_edge_px} px, as labelling whole images shows them; --tile-px shows their tiles"
            )
        if long_edge_px < LONG_EDGE_MAX_PX:
            lines.append(f"images are shrunk to {long_edge_px} px, so that it sees most boxes whole")
        return lines


def open_images(
    addresses: Sequence[str], validation: Sequence[str], test: Sequence[str], config: DetectorConfig
) -> DetectorData:
    """Open the images of a run; none is of two parts by its content.

    Test images are not validated on, and neither are trained on. Raises DatasetError if a part has no image.
    """
    shared = TrainConfig(seed=config.seed, validation_share=config.validation_share)
    trained, held_out = open_sources(addresses, validation, shared)
    tested = validated = None
    excluded = set[str]()
    if test:
        source = source_of([group for name in test for group in list_groups(name, None)], test)
        tested = BoxedImages(source, config.seed, config.tile_px, purpose="test on")
        excluded |= tested.found.ids
    if held_out is not None:
        validated = BoxedImages(held_out, config.seed, config.tile_px, excluded, "validate on")
        excluded |= validated.found.ids
    return DetectorData(BoxedImages(trained, config.seed, config.tile_px, excluded), validated, tested)


def _measure_on_test(
    images: BoxedImages,
    of_weights: dict[str, Path],
    config: DetectorConfig,
    figures: dict[str, Figures],
    say: Callable[[str], None],
    request: Callable[[], str | None],
) -> str | None:
    """Put the figures of each weights file into `figures`; returns what stopped it, if anything."""
    for name, weights in of_weights.items():
        say(f"measuring {weights} on {counted(images.found.num_images, 'test image')}")
        found = count_found(
            load_tiny_detector(choose_device(config.device), weights),
            images,
            range(len(images)),
            request,
            say,
        )
        if isinstance(found, str):
            return found
        figures[name] = found.document()
    return None


def _document(
    out: Path,
    steps: DetectorSteps,
    data: DetectorData,
    long_edge_px: int,
    stopped: str | None,
    tests: dict[str, Figures],
) -> dict[str, Any]:
    """What a run did, on which images, and the figures of its first and its best weights."""
    best = {"step": steps.best[0], **steps.best[1].document()} if steps.measured else None
    return {
        "detector": str(out),
        "steps": steps.number,
        "resumed": steps.resumed,
        "stopped": stopped,
        **data.sizes(),
        "views": len(data.train),
        "long_edge_px": long_edge_px,
        "left_out": {str(reason): number for reason, number in data.train.found.left_out.items()},
        "unread_views": len(data.train.unread),
        "before": steps.measured[0][1].document() if steps.measured else None,
        "best": best,
        "test_before": tests.get("test_before"),
        "test": tests.get("test"),
    }


def save_detector(
    weights: dict[str, Tensor], folder: Path, history: dict[str, Any], long_edge_px: int
) -> None:
    """Write the folder of a detector, its configuration last: with it the folder is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {name: weight.contiguous() for name, weight in weights.items()}
    forget_sums(folder)
    save_file(whole, folder / DETECTOR_WEIGHTS, {LONG_EDGE_KEY: str(long_edge_px)})
    write_sums(folder, [DETECTOR_WEIGHTS])
    document = {"model_type": TINY_KIND, **history}
    (folder / DETECTOR_CONFIG).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
