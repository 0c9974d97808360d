"""What the detector should give for an image, and how far its output is from that.

Targets as in CenterNet (Zhou et al., 2019): a Gaussian around each centre for the focal loss; generalised IoU
of the four side distances, at the cells around a centre. Boxes in pixels of the network's input; cells in
rows and columns of the heat map, of `STRIDE_PX` pixels each.

Shapes: B images, N positive cells of the batch, H x W heat map.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

from fo1_data.proposals.tiny_detector import STRIDE_PX


def make_targets(
    boxes_xyxy: np.ndarray, map_wh: tuple[int, int]
) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """The heat map (H, W), and (row, column, box index) of every cell that must predict a box."""
    y, x = np.mgrid[: map_wh[1], : map_wh[0]].astype(np.float32) + 0.5
    heat = np.zeros((map_wh[1], map_wh[0]), np.float32)
    owner: dict[tuple[int, int], tuple[float, int]] = {}
    for index, (x_min, y_min, x_max, y_max) in enumerate(boxes_xyxy / STRIDE_PX):
        centre_x, centre_y = (x_min + x_max) / 2, (y_min + y_max) / 2
        sigma = max(0.6, 0.09 * float(x_max - x_min + y_max - y_min))
        column, row = min(map_wh[0] - 1, int(centre_x)), min(map_wh[1] - 1, int(centre_y))
        spread = np.exp(-((x - column - 0.5) ** 2 + (y - row - 0.5) ** 2) / (2 * sigma**2))
        heat = np.maximum(heat, spread)
        for r, c in ((row + dr, column + dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1)):
            if (
                0 <= r < map_wh[1]
                and 0 <= c < map_wh[0]
                and x_min < c + 0.5 < x_max
                and y_min < r + 0.5 < y_max
            ):
                distance = (c + 0.5 - centre_x) ** 2 + (r + 0.5 - centre_y) ** 2
                if (r, c) not in owner or owner[r, c][0] > distance:
                    owner[r, c] = (distance, index)
        owner.setdefault((row, column), (0.0, index))
    return heat, [(row, column, index) for (row, column), (_, index) in owner.items()]


def detection_loss(output_B5HW: Tensor, heat_BHW: Tensor, cells_N3: Tensor, boxes_N4: Tensor) -> Tensor:
    """Penalty-reduced focal loss of the centres plus twice the generalised IoU loss of the boxes, if any."""
    logits = output_B5HW[:, 0]
    is_centre = (heat_BHW > 0.999).float()
    score = logits.sigmoid()
    positive = is_centre * (1 - score) ** 2 * functional.logsigmoid(logits)
    negative = (1 - is_centre) * (1 - heat_BHW) ** 4 * score**2 * functional.logsigmoid(-logits)
    focal = -(positive + negative).sum() / is_centre.sum().clamp(min=1)
    if not len(cells_N3):
        return focal
    image, row, column = cells_N3.T
    distances = output_B5HW[image, 1:, row, column].clamp(-4, 5).exp()
    x, y = (column + 0.5)[:, None], (row + 0.5)[:, None]
    predicted = torch.cat(
        [x - distances[:, :1], y - distances[:, 1:2], x + distances[:, 2:3], y + distances[:, 3:]], 1
    )
    return focal + 2.0 * generalized_box_iou_loss(predicted, boxes_N4 / STRIDE_PX, reduction="mean")
