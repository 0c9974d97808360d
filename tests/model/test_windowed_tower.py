"""Qwen2.5-VL's tower on images of many sizes at once: windows of one size attend together."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from fo1_data.model.bases import vision_tower
from fo1_data.model.checkpoint import Checkpoint, load_checkpoint

Grids = list[tuple[int, int]]
_GRIDS = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 6)).map(lambda hw: (2 * hw[0], 2 * hw[1])),
    min_size=1,
    max_size=5,
)


@pytest.fixture(scope="module")
def tiny() -> Checkpoint:
    """A tower with windows of 8 x 8 patches in two of its four blocks."""
    return load_checkpoint("fo1-tiny")


def encode(checkpoint: Checkpoint, grids_hw: Grids, seed: int) -> list[Tensor]:
    """What the tower says of images of these grids, and the gradient of its first weights."""
    tower = checkpoint.model.vision_tower
    generator = torch.Generator().manual_seed(seed)
    pixels = [torch.randn(rows * columns, 3 * 2 * 14 * 14, generator=generator) for rows, columns in grids_hw]
    weight = tower.patch_embed.proj.weight
    together = tower.encode(torch.cat(pixels), grids_hw, all_maps=False)
    apart = [
        tower.encode(pixels_UP, [grid_hw], all_maps=False)[0]
        for pixels_UP, grid_hw in zip(pixels, grids_hw, strict=True)
    ]
    found = []
    for images in (together, apart):
        embeds = torch.cat([image.image_embeds for image in images])
        maps = torch.cat([image.maps[-1].flatten() for image in images])
        (gradient,) = torch.autograd.grad(embeds.square().mean() + maps.square().mean(), weight)
        found += [embeds, maps, gradient]
    return found


@settings(deadline=None, max_examples=20)
@given(grids_hw=_GRIDS, seed=st.integers(0, 1000))
def test_images_together_are_encoded_as_each_alone(tiny: Checkpoint, grids_hw: Grids, seed: int) -> None:
    found = encode(tiny, grids_hw, seed)
    for together, apart in zip(found[:3], found[3:], strict=True):
        torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-4)


def test_windows_of_one_size_attend_together_wherever_they_are(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crop with its own calls would cost more for the calls than for the pixels."""
    lengths: list[int] = []

    def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        lengths.append(queries.shape[-2])
        return scaled_dot_product_attention(queries, keys, values)

    monkeypatch.setattr(vision_tower, "scaled_dot_product_attention", attend)
    grids_hw = [(2, 8), (4, 10), (2, 8), (4, 10), (4, 4)]
    pixels = torch.zeros(sum(rows * columns for rows, columns in grids_hw), 3 * 2 * 14 * 14)
    tiny.model.vision_tower.encode(pixels, grids_hw, all_maps=False)
    windows, images = [8, 16, 32], [16, 40]
    assert sorted(lengths) == sorted(2 * windows + 2 * images)
