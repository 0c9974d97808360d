"""Products in strips equal whole products, and which products are made so."""

import pytest
import torch

from fo1_data.model.engine import wide_product as module
from fo1_data.model.engine.wide_product import wide_product


@pytest.mark.parametrize(
    ("num_tokens", "num_outputs", "calls"),
    [(1, 4500, 0), (2, 4500, 9), (128, 4096, 8), (129, 4096, 0), (20, 4095, 0)],
)
def test_few_tokens_and_many_outputs_are_multiplied_in_strips(
    num_tokens: int, num_outputs: int, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    states, weight = (torch.randn(rows, 520, generator=generator) for rows in (num_tokens, num_outputs))
    strips = []
    mm = torch.mm
    monkeypatch.setattr(module.torch, "mm", lambda *a, **kw: strips.append(1) or mm(*a, **kw))

    product = wide_product(states, weight)

    assert len(strips) == calls
    torch.testing.assert_close(product, torch.nn.functional.linear(states, weight), atol=1e-4, rtol=1e-5)


def test_a_small_weight_is_multiplied_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.torch, "mm", None)
    assert wide_product(torch.ones(4, 8), torch.ones(5000, 8)).eq(8).all()
