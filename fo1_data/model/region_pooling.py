"""RoIAlign followed by the mean over its bins, computed as two small matrix products.

RoIAlign (He et al., Mask R-CNN, 2017, section 3) averages bilinear samples on a regular grid in each
bin. The mean over all bins is the mean over a single regular grid that spans the box, and a bilinear
sample is a product of a row weight and a column weight. So the pooled value is `wy^T F wx` with one
weight vector for each axis, exactly. Bilinear upsampling before the pooling is linear along each axis
too, so it folds into the weights: the upsampled map is never built.

Shapes: B images of one size, R boxes of an image, C channels, H x W cells of a feature map, L cells of
one axis, S cells of that axis before upsampling.
"""

import torch
from torch import Tensor


def axis_weights(low_BR: Tensor, high_BR: Tensor, length: int, scale: float, bins: int) -> Tensor:
    """The weight of each cell of an axis in the mean over each box.

    low_BR, high_BR: limits of the boxes on this axis, in image pixels. length: L. scale: cells per pixel.
    bins: bins along a side. Returns (B, R, L) float32. Follows torchvision's `roi_align(aligned=False,
    sampling_ratio=0)`: a box is at least one cell long (inverted boxes too), each bin has
    ceil(extent / bins) samples, samples outside [-1, length] count as zero, and the others are clamped
    to the map.
    """
    start = (low_BR.float() * scale)[..., None]
    extent = (high_BR.float() * scale - low_BR.float() * scale).clamp(min=1.0)[..., None]
    num_samples = torch.ceil(extent / bins) * bins
    most_samples = int(num_samples.max().item()) if num_samples.numel() else 0
    sample = torch.arange(most_samples, device=low_BR.device, dtype=torch.float32)
    position = start + (sample + 0.5) * (extent / num_samples)
    is_counted = (sample < num_samples) & (position >= -1.0) & (position <= length)
    position = position.clamp(min=0.0)
    lower = position.floor().clamp(max=length - 1)
    fraction = torch.where(lower >= length - 1, torch.zeros_like(position), position - lower)
    share = is_counted / num_samples
    weights_BRL = low_BR.new_zeros((*low_BR.shape, length), dtype=torch.float32)
    weights_BRL.scatter_add_(-1, lower.long(), share * (1 - fraction))
    weights_BRL.scatter_add_(-1, (lower.long() + 1).clamp(max=length - 1), share * fraction)
    return weights_BRL


def fold_upsampling(weights_BRL: Tensor, small: int) -> Tensor:
    """Turn weights on an upsampled axis into weights on the axis before the upsampling.

    The upsampling is bilinear (align_corners=False) from `small` cells to L. Returns (B, R, small).
    """
    length = weights_BRL.shape[-1]
    if length == small:
        return weights_BRL
    cells = torch.arange(length, device=weights_BRL.device, dtype=torch.float32)
    source = ((cells + 0.5) * (small / length) - 0.5).clamp(min=0.0)
    lower = source.floor().clamp(max=small - 1)
    fraction = source - lower
    upper = (lower + 1).clamp(max=small - 1)
    upsampling_LS = weights_BRL.new_zeros(length, small)
    upsampling_LS.scatter_add_(1, lower.long()[:, None], (1 - fraction)[:, None])
    upsampling_LS.scatter_add_(1, upper.long()[:, None], fraction[:, None])
    return weights_BRL @ upsampling_LS


def pool(map_BCHW: Tensor, weights_BRH: Tensor, weights_BRW: Tensor) -> Tensor:
    """The weighted mean of a map for every box: (B, R, C) float32."""
    batch, channels, height, width = map_BCHW.shape
    rows = map_BCHW.float().permute(0, 2, 1, 3).reshape(batch, height, channels * width)
    bands_BRCW = torch.bmm(weights_BRH, rows).view(batch, -1, channels, width)
    return torch.matmul(bands_BRCW, weights_BRW[..., None]).squeeze(-1)


def pool_boxes(map_BCHW: Tensor, boxes_BR4: Tensor, scale: float, bins: int) -> Tensor:
    """RoIAlign and mean of every box on a map.

    boxes_BR4: x_min y_min x_max y_max in image pixels. scale: cells per pixel. bins: bins along a side.
    Returns (B, R, C) float32, differentiable with respect to the map.
    """
    height, width = map_BCHW.shape[-2:]
    weights_BRH = axis_weights(boxes_BR4[..., 1], boxes_BR4[..., 3], height, scale, bins)
    weights_BRW = axis_weights(boxes_BR4[..., 0], boxes_BR4[..., 2], width, scale, bins)
    return pool(map_BCHW, weights_BRH, weights_BRW)
