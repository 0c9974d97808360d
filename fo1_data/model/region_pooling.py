"""RoIAlign followed by the mean over its bins, as two small matrix products.

Shapes: B images of one size, R boxes an image, C channels, H x W a feature map, h x w the map
before upsampling.

RoIAlign (He et al., Mask R-CNN, 2017, section 3) averages bilinear samples on a regular grid in
each bin. The mean over all bins is the mean over one regular grid over the whole box, and a
bilinear sample is a product of a row weight and a column weight. So the pooled value is
`wy^T F wx` with one weight vector per axis, exactly. Upsampling a map bilinearly before pooling is
linear along each axis too and folds into the weights: the upsampled map is never made.
"""

import torch
from torch import Tensor


def axis_weights(low: Tensor, high: Tensor, length: int, scale: float, bins: int) -> Tensor:
    """Weights of each cell of one axis in the box's mean.

    low, high: (B, R) box limits in image pixels; `scale`: cells per pixel; `bins`: bins a side.
    Returns (B, R, length) float32. Follows torchvision's `roi_align(aligned=False,
    sampling_ratio=0)`: the extent is at least one cell (inverted boxes too), ceil(extent / bins)
    samples a bin, samples beyond [-1, length] count as zero, others are clamped to the map.
    """
    start = (low.float() * scale)[..., None]
    extent = (high.float() * scale - low.float() * scale).clamp(min=1.0)[..., None]
    per_bin = torch.ceil(extent / bins)
    num = per_bin * bins
    most = int(num.max().item()) if num.numel() else 0
    step = torch.arange(most, device=low.device, dtype=torch.float32)
    position = start + (step + 0.5) * (extent / num)
    counted = (step < num) & (position >= -1.0) & (position <= length)
    position = position.clamp(min=0.0)
    lower = position.floor().clamp(max=length - 1)
    fraction = torch.where(lower >= length - 1, torch.zeros_like(position), position - lower)
    share = counted / num
    weights = low.new_zeros((*low.shape, length), dtype=torch.float32)
    weights.scatter_add_(-1, lower.long(), share * (1 - fraction))
    weights.scatter_add_(-1, (lower.long() + 1).clamp(max=length - 1), share * fraction)
    return weights


def fold_upsampling(weights: Tensor, small: int) -> Tensor:
    """Weights on an upsampled axis to weights on the axis before upsampling.

    weights: (B, R, L) on the axis after bilinear upsampling (align_corners=False) from `small`
    to L cells; returns (B, R, small).
    """
    length = weights.shape[-1]
    if length == small:
        return weights
    cells = torch.arange(length, device=weights.device, dtype=torch.float32)
    source = ((cells + 0.5) * (small / length) - 0.5).clamp(min=0.0)
    lower = source.floor().clamp(max=small - 1)
    fraction = source - lower
    upper = (lower + 1).clamp(max=small - 1)
    matrix = weights.new_zeros(length, small)
    matrix.scatter_add_(1, lower.long()[:, None], (1 - fraction)[:, None])
    matrix.scatter_add_(1, upper.long()[:, None], fraction[:, None])
    return weights @ matrix


def pool(features: Tensor, weights_y: Tensor, weights_x: Tensor) -> Tensor:
    """features (B, C, H, W), weights_y (B, R, H), weights_x (B, R, W) to (B, R, C) float32."""
    batch, channels, height, width = features.shape
    rows = features.float().permute(0, 2, 1, 3).reshape(batch, height, channels * width)
    banded = torch.bmm(weights_y, rows).view(batch, -1, channels, width)
    return torch.matmul(banded, weights_x[..., None]).squeeze(-1)


def pool_boxes(features: Tensor, boxes: Tensor, scale: float, bins: int) -> Tensor:
    """RoIAlign and mean of every box on one map.

    features: (B, C, H, W); boxes: (B, R, 4) x_min y_min x_max y_max in image pixels; `scale`: cells
    per pixel. Returns (B, R, C) float32, differentiable with respect to the features.
    """
    height, width = features.shape[-2:]
    weights_y = axis_weights(boxes[..., 1], boxes[..., 3], height, scale, bins)
    weights_x = axis_weights(boxes[..., 0], boxes[..., 2], width, scale, bins)
    return pool(features, weights_y, weights_x)
