"""The bundled class-agnostic detector: it finds where objects are, not what they are.

A small convolutional network with an output at every fourth pixel: the score of an object's centre and the
distances to the object's four sides. The bundled weights were trained on generated scenes only, so they find
little in photographs; `fo1 train-detector` trains them on. An image is shrunk to a long edge of 512 px first,
or to that with which the weights were trained, which their file records.
Boxes are `xyxy` in pixels of the given image. The detector applies NMS at IoU 0.8; a stricter NMS is left to
the caller.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from fo1_data.errors import CheckpointError, first_line
from fo1_data.model.checksums import refuse_changed
from fo1_data.proposals.detections import Detections
from fo1_data.proposals.identity import TINY_LICENCE, TINY_WEIGHTS

STRIDE_PX = 4
LONG_EDGE_MAX_PX = 512
# Of the weights file: its long edge, where it is another.
LONG_EDGE_KEY = "long_edge_max_px"
_PAD_TO_PX = 16
# Lower scores are never returned, whatever score floor the caller sets.
_MIN_SCORE = 0.02
_MAX_DETECTIONS = 300
_NMS_IOU = 0.8


def _norm_conv(num_in: int, num_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, stride, 1, bias=False), nn.GroupNorm(8, num_out), nn.ReLU(inplace=True)
    )


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _norm_conv(channels, channels)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.GroupNorm(8, channels)
        )

    def forward(self, maps: Tensor) -> Tensor:
        return functional.relu(maps + self.second(self.first(maps)))


class CenterNetwork(nn.Module):
    """Input: images (B, 3, H, W), sides divisible by 16, values -1..1. Output: (B, 5, H/4, W/4).

    Output channel 0 is the logit of an object's centre; channels 1 to 4 are the logarithms of the distances,
    in cells, to the object's left, top, right and bottom side.
    """

    def __init__(self, width: int = 40, deep_width: int = 56) -> None:
        super().__init__()
        self.stem = nn.Sequential(_norm_conv(3, 24, 2), _norm_conv(24, width, 2), _Residual(width))
        self.eighth = nn.Sequential(_norm_conv(width, deep_width, 2), _Residual(deep_width))
        self.sixteenth = nn.Sequential(
            _norm_conv(deep_width, deep_width, 2), _norm_conv(deep_width, deep_width)
        )
        self.from_sixteenth = nn.Conv2d(deep_width, deep_width, 1)
        self.from_eighth = nn.Conv2d(deep_width, width, 1)
        output = nn.Conv2d(width, 5, 1)
        with torch.no_grad():
            output.bias.copy_(torch.tensor([-4.0, 0.5, 0.5, 0.5, 0.5]))  # type: ignore[union-attr]
        self.head = nn.Sequential(_norm_conv(width, width), output)

    def forward(self, images_B3HW: Tensor) -> Tensor:
        """Logits and log distances at every fourth pixel, (B, 5, H/4, W/4)."""
        quarter = self.stem(images_B3HW)
        eighth = self.eighth(quarter)
        deep = functional.interpolate(self.from_sixteenth(self.sixteenth(eighth)), scale_factor=2.0)
        deep = functional.interpolate(self.from_eighth(eighth + deep), scale_factor=2.0)
        return self.head(quarter + deep)


def to_input(image: Image.Image, long_edge_max_px: int = LONG_EDGE_MAX_PX) -> tuple[Tensor, float]:
    """The network's input for an image, (1, 3, H, W), and the factor from input pixels to image pixels."""
    long_edge = max(image.size)
    if long_edge > long_edge_max_px:
        factor = long_edge_max_px / long_edge
        size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    pixels = (
        torch.from_numpy(np.asarray(image.convert("RGB")).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    )
    bottom, right = (-side % _PAD_TO_PX for side in pixels.shape[-2:])
    padded = functional.pad(pixels, (0, right, 0, bottom), mode="replicate")
    return padded, max(1.0, long_edge / long_edge_max_px)


def decode(output_5HW: Tensor, min_score: float = _MIN_SCORE) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) `xyxy` in input pixels and scores (N,), the best first, from the output of one image."""
    heat = output_5HW[0].sigmoid()
    peaks = (heat >= functional.max_pool2d(heat[None, None], 3, 1, 1)[0, 0]) & (heat > min_score)
    rows, columns = peaks.nonzero(as_tuple=True)
    distances = output_5HW[1:, rows, columns].clamp(-4, 5).exp()
    x, y = columns + 0.5, rows + 0.5
    boxes = (
        torch.stack([x - distances[0], y - distances[1], x + distances[2], y + distances[3]], 1) * STRIDE_PX
    )
    scores = heat[rows, columns]
    order = scores.argsort(descending=True)[:_MAX_DETECTIONS]
    return boxes[order], scores[order]


class TinyDetector:
    """The bundled detector on a device, or one trained from it.

    `sha256`: the hash of its weights file; `long_edge_max_px`: to which it shrinks larger images.
    """

    licence: str | None = TINY_LICENCE
    default_score_floor = 0.2
    default_nms_iou = 0.6

    def __init__(
        self,
        network: CenterNetwork,
        sha256: str,
        device: torch.device,
        long_edge_max_px: int = LONG_EDGE_MAX_PX,
    ) -> None:
        self.network = network.to(device).eval()
        self.sha256 = sha256
        self.long_edge_max_px = long_edge_max_px
        self._device = device

    @torch.inference_mode()
    def detect(self, images: list[Image.Image], words: Sequence[Sequence[str]] = ()) -> list[Detections]:
        """Boxes of each image, the best first; it does not know what they show. The words are ignored."""
        return [self._detect(image) for image in images]

    def _detect(self, image: Image.Image) -> Detections:
        from torchvision.ops import nms  # imports torch's compiler: not before the first detection

        pixels, factor = to_input(image, self.long_edge_max_px)
        boxes, scores = decode(self.network(pixels.to(self._device))[0].float().cpu())
        sides = torch.tensor([*image.size, *image.size], dtype=torch.float32)
        boxes = torch.minimum((boxes * factor).clamp(min=0), sides)
        large_enough = (boxes[:, 2:] - boxes[:, :2]).amin(1) >= 1
        boxes, scores = boxes[large_enough], scores[large_enough]
        kept = nms(boxes, scores, _NMS_IOU)
        return Detections(boxes[kept].numpy(), scores[kept].numpy())


def load_tiny_detector(device: str | torch.device = "cpu", weights: Path = TINY_WEIGHTS) -> TinyDetector:
    """Load the bundled detector, or one that was trained from it.

    Raises CheckpointError if its weights are missing, damaged or do not fit.
    """
    try:
        data = weights.read_bytes()
        network = CenterNetwork()
        network.load_state_dict({name: tensor.float() for name, tensor in load_file(weights).items()})
        with safe_open(weights, "pt") as file:
            long_edge_max_px = int((file.metadata() or {}).get(LONG_EDGE_KEY, LONG_EDGE_MAX_PX))
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        reason = first_line(error)
        remedy = "; reinstall" if weights == TINY_WEIGHTS else ""
        raise CheckpointError(f"the detector does not load from {weights}: {reason}{remedy}") from error
    sha256 = hashlib.sha256(data).hexdigest()
    refuse_changed(weights.parent, {weights.name: sha256})
    return TinyDetector(network, sha256, torch.device(device), long_edge_max_px)
