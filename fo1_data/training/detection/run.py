"""A training run of the detector: `fo1 train-detector`.

It begins with a detector of this kind, the bundled one by default, trains all of its weights on images of
which every box is known, and keeps the weights that did best on validation images (with none: on training
images), the first ones included. The result is a folder that `--proposals` takes.
"""

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from fo1_data.errors import ConfigError, RunError
from fo1_data.model.device import choose_device
from fo1_data.proposals.identity import (
    DETECTOR_CONFIG,
    DETECTOR_WEIGHTS,
    TINY_KIND,
    tiny_detector_weights,
)
from fo1_data.proposals.tiny_detector import (
    STRIDE_PX,
    CenterNetwork,
    TinyDetector,
    load_tiny_detector,
    to_input,
)
from fo1_data.training.detection.measuring import Found, count_found
from fo1_data.training.detection.samples import BoxedImage, BoxedImages
from fo1_data.training.detection.settings import DetectorConfig
from fo1_data.training.detection.targets import detection_loss, make_targets
from fo1_data.training.optimiser import scheduled_rate
from fo1_data.training.samples.held_out import open_sources
from fo1_data.training.samples.source import list_groups, source_of
from fo1_data.training.settings import TrainConfig

_WEIGHT_DECAY, _CLIP_NORM = 0.01, 5.0
_WARMUP_STEPS, _DECAY_SHARE = 20, 0.4
_MEASUREMENTS = 8
# So many images tell enough; all of a large validation set would take longer than the training.
_MAX_MEASURED = 200


def train_detector(
    addresses: Sequence[str],
    out: Path,
    config: DetectorConfig,
    detector: str = "fo1-tiny",
    validation: Sequence[str] = (),
    test: Sequence[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train a detector and write it to the new folder `out`; returns what the run did.

    `detector`: `fo1-tiny` or the folder of an earlier run. `test`: datasets and corpora to measure the first
    and the kept weights on; nothing is chosen by them. Raises ConfigError if `out` holds something,
    CheckpointError, DatasetError or CorpusError for what cannot be read, RunError if the loss is not finite.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"--out {out} is not empty: name a new folder")
    weights = tiny_detector_weights(detector)
    if weights is None:
        raise ConfigError(f"--detector {detector}: neither fo1-tiny nor a folder of `fo1 train-detector`")
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    shared = TrainConfig(seed=config.seed, validation_share=config.validation_share)
    trained, held_out = open_sources(addresses, validation, shared)
    images = BoxedImages(trained, config.seed)
    measured = images if held_out is None else BoxedImages(held_out, config.seed)
    tested = BoxedImages(source_of([g for a in test for g in list_groups(a, None)], test)) if test else None
    first = load_tiny_detector(choose_device(config.device), weights)
    test_before = None if tested is None else _found(first, tested)
    run = DetectorRun(first, images, measured, config)
    say(
        f"{len(images)} images to train on ({images.left_out} left out: not every box of them is known), "
        + (f"{len(measured)} to validate on" if held_out is not None else "none to validate on")
    )
    best_step = run.train(say)
    save_detector(run.best_network, out, {"base": detector, "trained_on": list(addresses), "step": best_step})
    kept = load_tiny_detector(choose_device(config.device), out / DETECTOR_WEIGHTS)
    return {
        "detector": str(out),
        "steps": config.steps,
        "images": len(images),
        "left_out": images.left_out,
        "validation_images": len(measured) if held_out is not None else 0,
        "before": run.measured[0][1].document(),
        "best": {"step": best_step, **run.best.document()},
        "test_before": test_before,
        "test": None if tested is None else _found(kept, tested),
    }


def _found(detector: TinyDetector, images: BoxedImages) -> dict[str, float | int]:
    return count_found(detector, map(images.as_it_is, range(len(images)))).document()


def save_detector(network: CenterNetwork, folder: Path, history: dict[str, Any]) -> None:
    """Write the folder of a detector, its configuration last: with it the folder is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: weight.cpu() for name, weight in network.state_dict().items()}, folder / DETECTOR_WEIGHTS
    )
    document = {"model_type": TINY_KIND, **history}
    (folder / DETECTOR_CONFIG).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


class DetectorRun:
    """The steps of a run. `measured`: the figures with their steps; `best_network`: the weights to keep."""

    def __init__(
        self, detector: TinyDetector, images: BoxedImages, measured_on: BoxedImages, config: DetectorConfig
    ) -> None:
        self._detector, self._network = detector, detector.network
        self._images, self._measured_on, self._config = images, measured_on, config
        self.measured: list[tuple[int, Found]] = []
        self.best_network = copy.deepcopy(self._network)
        # The schedule is that of any training here.
        self._schedule = TrainConfig(
            steps=config.steps,
            learning_rate=config.learning_rate,
            warmup_steps=_WARMUP_STEPS,
            decay_share=_DECAY_SHARE,
        )

    @property
    def best(self) -> Found:
        """The best figures so far."""
        return max((found for _, found in self.measured), key=lambda found: found.f1)

    def train(self, say: Callable[[str], None]) -> int:
        """Make all steps; returns the step of the best weights, 0 for the first ones."""
        config, network = self._config, self._network
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=_WEIGHT_DECAY
        )
        best_step = self._measure(0, say)
        every = max(1, config.steps // _MEASUREMENTS)
        for step in range(config.steps):
            for group in optimiser.param_groups:
                group["lr"] = scheduled_rate(step, self._schedule)
            optimiser.zero_grad(set_to_none=True)
            first = step * config.batch_images
            drawn = map(self._images.varied, range(first, first + config.batch_images))
            batch = [image for image in drawn if image is not None]
            for image in batch:
                loss = self._loss(image) / len(batch)
                if not torch.isfinite(loss):
                    raise RunError(f"the loss is {loss.item()} at step {step}: lower --learning-rate")
                loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP_NORM)
            optimiser.step()
            if (step + 1) % every == 0 or step + 1 == config.steps:
                best_step = self._measure(step + 1, say) or best_step
        return best_step

    def _loss(self, image: BoxedImage) -> torch.Tensor:
        pixels, factor = to_input(image.rgb)
        boxes = image.boxes_xyxy / factor
        height, width = (side // STRIDE_PX for side in pixels.shape[-2:])
        heat, positives = make_targets(boxes, (width, height))
        device = next(self._network.parameters()).device
        cells = torch.tensor([(0, row, column) for row, column, _ in positives]).to(device)
        of_cells = torch.from_numpy(boxes[[index for _, _, index in positives]]).to(device)
        targets = (torch.from_numpy(heat)[None].to(device), cells, of_cells)
        return detection_loss(self._network(pixels.to(device)), *targets)

    def _measure(self, step: int, say: Callable[[str], None]) -> int:
        """Measure the present weights, and keep them if they are better; returns the step then, else 0."""
        self._network.eval()
        number = min(_MAX_MEASURED, len(self._measured_on))
        found = count_found(self._detector, map(self._measured_on.as_it_is, range(number)))
        self._network.train()
        is_best = not self.measured or found.f1 > self.best.f1
        self.measured.append((step, found))
        say(
            f"step {step} of {self._config.steps}: finds {found.recall:.2f} of {found.known} boxes, "
            f"{found.precision:.2f} of its boxes are right" + (", the best so far" if is_best else "")
        )
        if is_best:
            self.best_network = copy.deepcopy(self._network)
            return step
        return 0
