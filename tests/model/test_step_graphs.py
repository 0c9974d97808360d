"""Decoding steps as graphs, with a recording of operations in the place of CUDA's graphs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.generation import Generation
from fo1_data.model.engine.questions import Question
from fo1_data.model.engine.step_graphs import Graphs, StepGraphs
from fo1_data.synthetic.scenes import make_scene

LONGEST = 20
SCENES = [make_scene(seed, (3, 6)) for seed in (1, 2, 3)]
PICTURES = [(scene.image, np.array([one.box_xyxy for one in scene.objects], np.float32)) for scene in SCENES]


class Recording(TorchDispatchMode):
    """As a CUDA graph: keeps operations with their tensors and not the code, and changes nothing itself.

    A replay runs the operations again on the same tensors; whatever the host decides is that of the capture.
    """

    def __init__(self, step: Callable[[], None]) -> None:
        super().__init__()
        self._operations: list[tuple[Any, Any, Any, Any]] = []
        before: list[tuple[Tensor, Tensor]] = []
        self._before = before
        with self:
            step()
        for tensor, contents in reversed(before):
            tensor.copy_(contents)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        for value, argument in zip(args, func._schema.arguments, strict=False):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._before.append((value, value.clone()))
        out = func(*args, **kwargs)
        self._operations.append((func, args, kwargs, out))
        return out

    def __call__(self) -> None:
        for func, args, kwargs, captured in self._operations:
            inputs = {_address(leaf) for leaf in _tensors((args, kwargs))}
            for target, result in zip(_tensors(captured), _tensors(func(*args, **kwargs)), strict=True):
                if _address(target) not in inputs:
                    target.copy_(result)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _ask(engine: Fo1Engine, longest: int) -> list[Generation]:
    opened = engine.open(PICTURES)
    tokenizer = engine.checkpoint.tokenizer
    forced = tokenizer.special.objects_open, tokenizer.special.regions[0]
    limits = [1 + (longest * step) // 9 for step in range(1, 10)]
    questions = [
        *(
            Question(image, text, max_new_tokens=limit)
            for image in opened
            for text, limit in zip(("Why?", "Where is <region1>?", "What?") * 3, limits, strict=True)
        ),
        Question(opened[0], "Which?", forced_ids=forced, max_new_tokens=longest),
        Question(opened[1], "Which?", max_new_tokens=longest, hidden_regions=(0,)),
    ]
    answers = engine.ask(questions)
    engine.close(opened)
    return answers


def _assert_same(actual: list[Generation], expected: list[Generation]) -> None:
    for mine, other in zip(actual, expected, strict=True):
        assert mine.token_ids == other.token_ids
        for name in ("logprobs", "margins", "entropies"):
            assert getattr(mine, name) == pytest.approx(getattr(other, name), abs=1e-4)
        for step, other_step in zip(mine.region_steps, other.region_steps, strict=True):
            assert step.region_logprobs == pytest.approx(other_step.region_logprobs, abs=1e-4)


def test_graphs_answer_as_steps_one_by_one(random_checkpoint: Checkpoint) -> None:
    graphs = StepGraphs(Recording)
    engine = Fo1Engine(random_checkpoint, steps_per_copy=4, graphs=graphs)
    eager = Fo1Engine(random_checkpoint)
    assert eager.eager_reason == "no CUDA device, but cpu"
    assert engine.eager_reason is None
    for longest in (LONGEST, LONGEST, LONGEST + 50):
        num_before = graphs.num_captured
        _assert_same(_ask(engine, longest), _ask(eager, longest))
        assert (graphs.num_captured > num_before) == (longest != LONGEST or num_before == 0)


def test_a_failed_capture_is_the_reason_to_go_on_without_graphs(random_checkpoint: Checkpoint) -> None:
    def fail(_: Callable[[], None]) -> Callable[[], None]:
        raise RuntimeError("operation not permitted")

    engine = Fo1Engine(random_checkpoint, steps_per_copy=4, graphs=StepGraphs(fail))
    _assert_same(_ask(engine, LONGEST), _ask(Fo1Engine(random_checkpoint), LONGEST))
    assert engine.eager_reason == "a step could not be captured: operation not permitted"
    with pytest.raises(RuntimeError, match="not permitted"):
        _ask(
            Fo1Engine(random_checkpoint, steps_per_copy=4, graphs=StepGraphs(fail, must_capture=True)),
            LONGEST,
        )


def test_graphs_need_a_device_that_has_them(random_checkpoint: Checkpoint) -> None:
    with pytest.raises(ValueError, match="need a CUDA device, not cpu"):
        Fo1Engine(random_checkpoint, graphs=Graphs.ON)
    assert Fo1Engine(random_checkpoint, graphs=Graphs.OFF).eager_reason == "switched off"
