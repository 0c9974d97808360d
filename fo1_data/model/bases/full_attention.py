"""What vision towers share whose patches attend to their whole image: layout, positions and attention.

Their position embeddings are learnt for a square grid and interpolated to that of an image. Patches come in
the order of `ImageProcessor.prepare`: image tokens in raster order, each of them merge x merge patches.

Shapes: U patches of all images, L of one image, C channels, A heads, E head width, S rows and columns of the
learnt grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from fo1_data.model.bases.vision_tower import attend_in_spans, patch_cos_sin


@dataclass(frozen=True)
class FullLayout:
    """How the patches of several images lie in one sequence.

    lengths: the number of patches of each image. cos, sin: rotation tables (U, 1, E) float32. corners_U4,
    weights_U4: the cells of the learnt grid (index of the flattened grid) that make the position embedding of
    a patch, and their shares.
    """

    lengths: list[int]
    cos: Tensor
    sin: Tensor
    corners_U4: Tensor
    weights_U4: Tensor


def full_layout(
    grids_hw: Sequence[tuple[int, int]],
    merge: int,
    head_width: int,
    grid_side: int,
    *,
    corners_meet: bool,
    device: torch.device,
) -> FullLayout:
    """Arrange images. corners_meet: whether the corner patches take the corner cells as they are, as with
    `align_corners` of torch's interpolation; otherwise the outer edges of both grids meet."""
    places, corners, weights = [], [], []
    for rows, columns in grids_hw:
        places_L2 = _places(rows, columns, merge)
        places.append(places_L2)
        image_corners, image_weights = _interpolation(places_L2, (rows, columns), grid_side, corners_meet)
        corners.append(image_corners)
        weights.append(image_weights)
    places_U2 = torch.cat(places).to(device, non_blocking=True)
    cos_UE, sin_UE = patch_cos_sin(places_U2, head_width)
    return FullLayout(
        [rows * columns for rows, columns in grids_hw],
        cos_UE[:, None],
        sin_UE[:, None],
        torch.cat(corners).to(device, non_blocking=True),
        torch.cat(weights).to(device, non_blocking=True),
    )


def _places(rows: int, columns: int, merge: int) -> Tensor:
    """(L, 2): row and column of each patch."""
    row = torch.arange(rows).view(rows // merge, 1, merge, 1)
    column = torch.arange(columns).view(1, columns // merge, 1, merge)
    shape = rows // merge, columns // merge, merge, merge
    return torch.stack((row.expand(shape), column.expand(shape)), dim=-1).view(-1, 2)


def _interpolation(
    places_L2: Tensor, grid_hw: tuple[int, int], side: int, corners_meet: bool
) -> tuple[Tensor, Tensor]:
    """Indices of the four cells around each patch's place in the learnt grid, and their bilinear shares."""
    sides = torch.tensor(grid_hw, dtype=torch.float32)
    if corners_meet:
        at_L2 = places_L2 * ((side - 1) / (sides - 1).clamp(min=1))
    else:
        at_L2 = (places_L2 + 0.5) * (side / sides) - 0.5
    at_L2 = at_L2.clamp(0, side - 1)
    low_L2 = at_L2.floor().long()
    high_L2 = (low_L2 + 1).clamp(max=side - 1)
    share_L2 = at_L2 - low_L2
    cells_L22, shares_L22 = torch.stack((low_L2, high_L2), -1), torch.stack((1 - share_L2, share_L2), -1)
    corners = cells_L22[:, 0, :, None] * side + cells_L22[:, 1, None, :]
    weights = shares_L22[:, 0, :, None] * shares_L22[:, 1, None, :]
    return corners.flatten(1), weights.flatten(1)


def position_embeddings(table_SC: Tensor, layout: FullLayout) -> Tensor:
    """(U, C) in the dtype of the table: of each patch, from the learnt grid (S * S, C)."""
    found_U4C = table_SC[layout.corners_U4] * layout.weights_U4[..., None]
    return found_U4C.sum(1).to(table_SC.dtype)


def attend_within_images(
    queries_UAE: Tensor, keys_UAE: Tensor, values_UAE: Tensor, lengths: list[int]
) -> Tensor:
    """The attended values (U, A * E): every patch attends to all of its image. Images of one size that follow
    each other attend in one call."""
    spans = [(len(list(members)), length) for length, members in groupby(lengths)]
    return attend_in_spans(queries_UAE, keys_UAE, values_UAE, spans)
