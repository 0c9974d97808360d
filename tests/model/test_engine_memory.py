"""What decoder passes and the choice of tokens hold at a time."""

import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fo1_data.errors import lacks_memory
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.fused_decoder import FusedDecoder
from fo1_data.model.engine.memory import MemoryBudget, is_refused_allocation
from fo1_data.model.engine.prefix_cache import PrefixCache
from fo1_data.model.engine.shapes import Shapes
from fo1_data.model.engine.token_figures import TokenFigures
from fo1_data.model.region_fusion import PromptEmbeds


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of the tensors that were made inside and still exist, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.live_bytes = self.peak_bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inputs = {_address(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        out = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor) and _address(leaf) not in inputs:
                self._add(leaf.nbytes)
                weakref.finalize(leaf, self._add, -leaf.nbytes)
        return out

    def _add(self, num_bytes: int) -> None:
        self.live_bytes += num_bytes
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def test_the_choice_of_tokens_keeps_one_float32_tensor_beside_the_logits(
    random_checkpoint: Checkpoint,
) -> None:
    num, vocabulary = 6, random_checkpoint.config.text.vocab_size
    states_ND = torch.randn(num, random_checkpoint.config.text.hidden_size)
    columns_NC = torch.arange(3).expand(num, -1)
    logits_NV = random_checkpoint.model.logits(states_ND).detach()
    expected = torch.log_softmax(logits_NV, dim=-1)
    figures = TokenFigures(random_checkpoint.model, 2**30)
    with torch.no_grad(), LiveMemory() as memory:
        tokens_N, figures_NF = figures.measure(states_ND, columns_NC)
    small_bytes = 4 * num * 64
    assert memory.peak_bytes <= num * vocabulary * 8 + small_bytes

    assert tokens_N.tolist() == expected.argmax(dim=-1).tolist()
    best = expected.topk(2).values
    entropy_N = -(expected.exp() * expected).sum(dim=-1)
    numbers = torch.stack((tokens_N.float(), best[:, 0], best[:, 0] - best[:, 1], entropy_N), dim=1)
    assert figures_NF.numpy() == pytest.approx(torch.cat((numbers, expected[:, :3]), dim=1).numpy(), abs=1e-5)
    some, _ = TokenFigures(random_checkpoint.model, vocabulary * 8 * 2).measure(states_ND, columns_NC)
    assert some.tolist() == tokens_N.tolist()


@pytest.fixture(scope="module")
def prompts(random_checkpoint: Checkpoint) -> dict[int, PromptEmbeds]:
    draw = np.random.default_rng(0)
    pictures = []
    for num_boxes in (3, 0, 9, 1, 5):
        width, height = draw.integers(40, 160, 2)
        pixels = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
        corners = draw.uniform(0, 1, (num_boxes, 2, 2)) * [width, height]
        boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
        pictures.append((Image.fromarray(pixels), boxes))
    opened = Fo1Engine(random_checkpoint).open(pictures)
    return {number: image.prompts[0] for number, image in enumerate(opened)}


@settings(deadline=None, max_examples=15)
@given(max_bytes=st.integers(1, 2**22))
def test_prefixes_are_the_same_however_small_the_passes(
    random_checkpoint: Checkpoint, prompts: dict[int, PromptEmbeds], max_bytes: int
) -> None:
    decoder = FusedDecoder(random_checkpoint.model.language_model)

    def cache(total: int) -> PrefixCache:
        return PrefixCache(random_checkpoint.model, decoder, MemoryBudget(total), Shapes(is_exact=True))

    with torch.inference_mode():
        expected = cache(2**40).stack(prompts)
        small = cache(max_bytes)
        with LiveMemory() as memory:
            stack = small.stack(prompts)
        again = small.stack(prompts)
    for actual in (stack, again):
        assert torch.equal(actual.bias, expected.bias)
        torch.testing.assert_close(actual.keys_values, expected.keys_values, atol=1e-5, rtol=1e-5)
    longest_bytes = max(len(prompt.embeds) for prompt in prompts.values()) * _pass_bytes(random_checkpoint)
    budget = MemoryBudget(max_bytes)
    assert small.num_bytes <= budget.prefix_cache
    bound = stack.keys_values.nbytes + budget.prefix_cache + max(budget.decoder_pass, longest_bytes)
    assert memory.peak_bytes <= bound * 1.1


def _pass_bytes(checkpoint: Checkpoint) -> float:
    """Generous bytes of a token in a pass."""
    text = checkpoint.config.text
    heads = text.num_attention_heads + 2 * text.num_key_value_heads
    kept = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim
    return 4 * (kept + 4 * text.hidden_size + 2 * heads * text.head_dim + 4 * text.intermediate_size)


@pytest.mark.parametrize(
    ("error", "is_refused"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (RuntimeError("CUDA error: out of memory"), False),
    ],
)
def test_less_is_tried_only_where_the_allocator_refused(error: RuntimeError, is_refused: bool) -> None:
    assert is_refused_allocation(error) is is_refused
    assert lacks_memory(error)
