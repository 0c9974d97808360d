"""Decoding steps as CUDA graphs: one launch for all kernels of a step.

A graph repeats kernels on the memory that they had when it was captured. So there is one state for each set
of shapes, into which new contents are copied, and one graph for each state and whatever else has an address.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from enum import StrEnum

import torch

from fo1_data.model.engine.step_state import StepState

_MAX_GRAPHS = 64


class Graphs(StrEnum):
    """Whether decoding steps run as CUDA graphs. auto: on a CUDA device, unless a capture fails."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


# Captures the kernels of a call without running them; what it returns runs them.
Capture = Callable[[Callable[[], None]], Callable[[], None]]


class StepGraphs:
    """Runs steps, as graphs if there is a `capture`.

    eager_reason: why there is none; None while graphs are used. A failed capture is the reason from then on,
    unless `must_capture`: then it raises.
    """

    def __init__(
        self, capture: Capture | None, eager_reason: str | None = None, *, must_capture: bool = False
    ) -> None:
        self._capture, self.eager_reason, self._must_capture = capture, eager_reason, must_capture
        self._states: dict[Hashable, StepState] = {}
        # None: the step ran once, which is what warms up a capture.
        self._graphs: OrderedDict[Hashable, Callable[[], None] | None] = OrderedDict()
        self.num_captured = 0

    def clear(self) -> None:
        """Free graphs and states."""
        self._states.clear()
        self._graphs.clear()

    def keep(self, state: StepState) -> StepState:
        """The state of this one's shapes with the contents of this one."""
        if self._capture is None:
            return state
        held = self._states.setdefault(state.shapes(), state)
        if held is not state:
            for target, source in zip(held.tensors(), state.tensors(), strict=True):
                target.copy_(source, non_blocking=True)
        return held

    def run(self, key: Hashable, state: StepState, step: Callable[[StepState], None]) -> None:
        """Run a step on a state of `keep`. key: what else decides shapes and addresses in the step."""
        if self._capture is None:
            return step(state)
        key = state.shapes(), key
        if key not in self._graphs:
            self._graphs[key] = None
            if len(self._graphs) > _MAX_GRAPHS:
                self._graphs.popitem(last=False)
            return step(state)
        self._graphs.move_to_end(key)
        replay = self._graphs[key]
        if replay is None:
            try:
                replay = self._graphs[key] = self._capture(lambda: step(state))
            except RuntimeError as error:
                if self._must_capture:
                    raise
                self._capture, self.eager_reason = None, f"a step could not be captured: {error}"
                self.clear()
                return step(state)
            self.num_captured += 1
        return replay()


def graphs_for(device: torch.device, choice: Graphs) -> StepGraphs:
    """Raises ValueError if graphs are `on` and the device has none."""
    if choice is not Graphs.OFF and device.type == "cuda":
        return StepGraphs(_CudaCapture(), must_capture=choice is Graphs.ON)
    if choice is Graphs.ON:
        raise ValueError(f"CUDA graphs need a CUDA device, not {device}")
    return StepGraphs(None, "switched off" if choice is Graphs.OFF else f"no CUDA device, but {device}")


class _CudaCapture:
    """Captures steps as CUDA graphs that share one pool of memory, because only one runs at a time."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, step: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            step()
        return graph.replay
