"""The separable form against torchvision's RoIAlign, to the last sample."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate
from torchvision.ops import roi_align

from fo1_data.model.region_pooling import axis_weights, fold_upsampling, pool, pool_boxes

SCALE = 0.25

# Coordinates beyond the borders on both sides, in any order: inverted and empty boxes included.
coordinates = st.floats(-30, 150, width=32)
boxes = st.lists(st.tuples(coordinates, coordinates, coordinates, coordinates), min_size=1, max_size=6)
sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))


def _reference(features: torch.Tensor, given_boxes: torch.Tensor) -> torch.Tensor:
    return roi_align(features, [given_boxes], 7, SCALE, 0, False).mean(dim=(2, 3))


@settings(deadline=None, max_examples=200)
@given(boxes=boxes, size=sizes)
def test_pooling_equals_roi_align_and_mean(boxes: list[tuple[float, ...]], size: tuple[int, int]) -> None:
    features = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    given_boxes = torch.tensor(boxes, dtype=torch.float32)

    pooled = pool_boxes(features, given_boxes[None], SCALE, 7)[0]

    torch.testing.assert_close(pooled, _reference(features, given_boxes), atol=2e-5, rtol=1e-4)


@settings(deadline=None, max_examples=100)
@given(boxes=boxes, size=sizes, small=sizes)
def test_upsampling_folds_into_the_weights(
    boxes: list[tuple[float, ...]], size: tuple[int, int], small: tuple[int, int]
) -> None:
    features = torch.randn(1, 3, *small, generator=torch.Generator().manual_seed(1))
    given_boxes = torch.tensor(boxes, dtype=torch.float32)
    upsampled = interpolate(features, size=size, mode="bilinear", align_corners=False)

    weights_y = axis_weights(given_boxes[None, :, 1], given_boxes[None, :, 3], size[0], SCALE, 7)
    weights_x = axis_weights(given_boxes[None, :, 0], given_boxes[None, :, 2], size[1], SCALE, 7)
    pooled = pool(features, fold_upsampling(weights_y, small[0]), fold_upsampling(weights_x, small[1]))[0]

    torch.testing.assert_close(pooled, _reference(upsampled, given_boxes), atol=2e-5, rtol=1e-4)


def test_pooling_has_the_gradient_of_roi_align() -> None:
    generator = torch.Generator().manual_seed(2)
    ours = torch.randn(1, 4, 9, 13, generator=generator, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_(True)
    given_boxes = torch.tensor([[3.0, 2.0, 40.0, 30.0], [-5.0, 8.0, 60.0, 9.0]])
    weights = torch.randn(2, 4, generator=generator)

    (pool_boxes(ours, given_boxes[None], SCALE, 7)[0] * weights).sum().backward()
    (_reference(theirs, given_boxes) * weights).sum().backward()

    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=1e-4)


def test_images_are_pooled_together_as_apart() -> None:
    features = torch.randn(3, 5, 8, 11, generator=torch.Generator().manual_seed(3))
    given_boxes = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(4)) * 40

    together = pool_boxes(features, given_boxes, SCALE, 7)

    for index in range(3):
        alone = pool_boxes(features[index : index + 1], given_boxes[index : index + 1], SCALE, 7)[0]
        torch.testing.assert_close(together[index], alone)
