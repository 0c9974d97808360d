"""The steps of a training of the detector, its measurements, and the weights to keep."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fo1_data.errors import RunError
from fo1_data.proposals.tiny_detector import STRIDE_PX, TinyDetector, to_input
from fo1_data.training.detection.early_verdict import early_verdict
from fo1_data.training.detection.measuring import Found, count_found
from fo1_data.training.detection.samples import LARGEST, BoxedImage, BoxedImages
from fo1_data.training.detection.settings import DetectorConfig
from fo1_data.training.detection.state import DetectorState
from fo1_data.training.detection.targets import detection_loss, make_targets
from fo1_data.training.optimiser import scheduled_rate
from fo1_data.training.settings import TrainConfig

_WEIGHT_DECAY, _CLIP_NORM = 0.01, 5.0
_WARMUP_STEPS, _DECAY_SHARE = 20, 0.4
_MEASUREMENTS = 10
# So many views tell enough; a short run measures a fifth of those that it shows, or it would mostly measure.
_FEWEST_MEASURED, _MAX_MEASURED = 32, 200
_SAVE_EVERY = 50
_SAY_EVERY_S = 10.0


class DetectorSteps:
    """The steps of a run, from the state in its folder if there is one.

    `number`: of steps made; `resumed`: whether a state was found; `measured`: the figures with their steps;
    `best_weights`: those to keep, on the CPU; `passes`: how often the whole run shows each view. Without a
    state of its own a run goes on from the state `other` of another, measured anew. Raises as
    `DetectorState.load`.
    """

    def __init__(
        self,
        detector: TinyDetector,
        images: BoxedImages,
        measured_on: BoxedImages,
        config: DetectorConfig,
        state: DetectorState,
        other: dict[str, Any] | None = None,
    ) -> None:
        self._detector, self._network = detector, detector.network
        self._images, self._measured_on, self._config, self._state = images, measured_on, config, state
        num_shown = config.steps * config.batch_images
        most_measured = min(max(_FEWEST_MEASURED, num_shown // 5), _MAX_MEASURED)
        self._measured_views = measured_on.sample(most_measured)
        self.passes = num_shown / images.epoch_views
        # The schedule is that of any training here.
        self._schedule = TrainConfig(
            steps=config.steps,
            learning_rate=config.learning_rate,
            warmup_steps=_WARMUP_STEPS,
            decay_share=_DECAY_SHARE,
        )
        self._optimiser = torch.optim.AdamW(
            self._network.parameters(), lr=config.learning_rate, weight_decay=_WEIGHT_DECAY
        )
        self.number = 0
        self.measured: list[tuple[int, Found]] = []
        self.best_weights = _on_cpu(self._network.state_dict())
        earlier = state.load()
        self.resumed = earlier is not None
        if earlier is not None:
            self._take(earlier)
            self.measured, self.best_weights = earlier["measured"], earlier["best_weights"]
        elif other is not None:
            self._take(other)

    def _take(self, earlier: dict[str, Any]) -> None:
        self.number = earlier["step"]
        self._network.load_state_dict(earlier["weights"])
        self._optimiser.load_state_dict(earlier["optimiser"])
        self.best_weights = earlier["weights"]

    @property
    def best(self) -> tuple[int, Found]:
        """The best measurement so far, of equal ones the first, with its step."""
        return max(self.measured, key=lambda measured: measured[1].f1)

    def train(self, say: Callable[[str], None], request: Callable[[], str | None]) -> str | None:
        """Make the steps that are left, saved at the end; returns what stopped it, if anything.

        `request`: asked before each step and each image to measure for the name of what stops the run.
        """
        steps, begun, said_s = self._config.steps, (self.number, time.monotonic()), time.monotonic()
        stopped = self._measure_if_due(say, request)
        while stopped is None and self.number < steps and (stopped := request()) is None:
            loss = self._step()
            if self.number % _SAVE_EVERY == 0:
                self._save()
            if time.monotonic() - said_s >= _SAY_EVERY_S:
                said_s = time.monotonic()
                seconds_left = (said_s - begun[1]) / (self.number - begun[0]) * (steps - self.number)
                say(f"step {self.number} of {steps}: loss {loss:.3f}, about {seconds_left:.0f} s left")
            stopped = self._measure_if_due(say, request)
        if stopped is None or self.number:
            self._save()
        return stopped

    def _save(self) -> None:
        weights = _on_cpu(self._network.state_dict())
        self._state.save(self.number, weights, self.best_weights, self._optimiser.state_dict(), self.measured)

    def _step(self) -> float:
        """Make one step; returns its loss. Raises RunError if that is not finite."""
        network, size = self._network.train(), self._config.batch_images
        for group in self._optimiser.param_groups:
            group["lr"] = scheduled_rate(self.number, self._schedule)
        self._optimiser.zero_grad(set_to_none=True)
        draws = range(self.number * size, (self.number + 1) * size)
        drawn = (self._images.varied(draw, self._detector.long_edge_max_px) for draw in draws)
        batch = [image for image in drawn if image is not None]
        total = 0.0
        for image in batch:
            loss = self._loss(image) / len(batch)
            total += loss.item()
            loss.backward()
        if not torch.isfinite(torch.tensor(total)):
            raise RunError(f"the loss is {total} at step {self.number}: lower --learning-rate")
        torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP_NORM)
        self._optimiser.step()
        self.number += 1
        return total

    def _loss(self, image: BoxedImage) -> Tensor:
        pixels, factor = to_input(image.rgb, math.ceil(LARGEST * self._detector.long_edge_max_px))
        boxes = image.boxes_xyxy / factor
        height, width = (side // STRIDE_PX for side in pixels.shape[-2:])
        heat, positives = make_targets(boxes, (width, height))
        device = next(self._network.parameters()).device
        cells = torch.tensor([(0, row, column) for row, column, _ in positives], dtype=torch.long).to(device)
        of_cells = torch.from_numpy(boxes[[index for _, _, index in positives]]).to(device)
        targets = (torch.from_numpy(heat)[None].to(device), cells, of_cells)
        return detection_loss(self._network(pixels.to(device)), *targets)

    def _measure_if_due(self, say: Callable[[str], None], request: Callable[[], str | None]) -> str | None:
        """Measure if it is time to and not done; returns what stopped that, if anything.

        Raises RunError if no image to measure can be read.
        """
        step, steps = self.number, self._config.steps
        is_due = step % max(1, steps // _MEASUREMENTS) == 0 or step == steps or not self.measured
        if not is_due or any(at_step == step for at_step, _ in self.measured):
            return None
        self._network.eval()
        found = count_found(self._detector, self._measured_on, self._measured_views, request, say)
        if isinstance(found, str):
            return found
        if not found.images:
            raise RunError("no image to measure on can be read: check it with fo1 dataset validate")
        is_best = not self.measured or found.f1 > self.best[1].f1
        self.measured.append((step, found))
        if is_best:
            self.best_weights = _on_cpu(self._network.state_dict())
        say(
            f"step {step} of {steps}: finds {found.recall:.2f} of {found.known} boxes, "
            f"{found.precision:.2f} of its boxes are right" + (", the best so far" if is_best else "")
        )
        if len(self.measured) == 2:
            say(early_verdict(self.measured[0][1], found, self.passes))
        return None


def _on_cpu(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A copy of weights in memory of the CPU."""
    return {name: weight.detach().to("cpu", copy=True) for name, weight in weights.items()}
