"""Prepares an image and its boxes for both vision towers, in one pass over the pixels each.

Pixels stay 8 bits until a tower takes them: each channel is then normalised by a table of its 256 values. So
an image that waits takes a fifth of the memory, and less is copied to a GPU.

Frames: `boxes_xyxy` are in pixels of the image that the caller passes, `aux_boxes` in pixels of the
auxiliary image (the image after `limit_size`), `vt_boxes` in pixels of the ViT's resized image. All are
x_min y_min x_max y_max.

Shapes: R regions, U patches of the ViT of `patch` x `patch` pixels, H x W pixels of an image.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from fo1_data.errors import CheckpointError, one_line
from fo1_data.model.configuration import Fo1Config
from fo1_data.storage.json_text import parse_object

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_SHORTEST_PX = 28
# Of a resized image.
_MOST_PIXELS = 2**28
# Of the mean or the deviation of a channel; values are shares of 255.
_MOST_SHARE = 1000.0
_LONGEST_ASPECT = 200
_LONGEST_CROP_ASPECT = 100
_MARGIN_SHARE, _LEAST_MARGIN_PX = 0.1, 2.0


@dataclass(frozen=True)
class NormalisedPixels:
    """Pixels as 8 bits, and what each value becomes. values: (3, ...) uint8; table: (3, 256) float32."""

    values: npt.NDArray[np.uint8]
    table: npt.NDArray[np.float32]

    def to(self, device: torch.device) -> Tensor:
        """(3, ...) float32 on the device. Only the 8 bits are copied to it."""
        if device.type != "cpu":
            values, table = torch.from_numpy(self.values).to(device), torch.from_numpy(self.table).to(device)
            return torch.stack([table[channel][values[channel].int()] for channel in range(3)])
        normalised = np.empty(self.values.shape, dtype=np.float32)
        for table, values, target in zip(self.table, self.values, normalised, strict=True):
            table.take(values, out=target, mode="clip")
        return torch.from_numpy(normalised)


@dataclass(frozen=True)
class ResizedImage:
    """An image in the sizes of both towers, without boxes.

    patches: (3, U, patch^2), in the ViT's order of patches. frames: how often a temporal patch repeats them.
    grid_hw: rows and columns of the patch grid. auxiliary: (3, H, W). scale_xy: auxiliary pixels for each
    pixel of the caller's image.
    """

    patches: NormalisedPixels
    frames: int
    grid_hw: tuple[int, int]
    auxiliary: NormalisedPixels
    scale_xy: tuple[float, float]


@dataclass(frozen=True)
class PreparedImage:
    """An image and its boxes, ready for the model. aux_boxes, vt_boxes: (R, 4) float32."""

    resized: ResizedImage
    aux_boxes: Tensor
    vt_boxes: Tensor

    @property
    def size(self) -> tuple[int, int, int, int]:
        """Height and width of the auxiliary image, then rows and columns of the ViT's patch grid."""
        return *self.aux_hw, *self.grid_hw

    @property
    def grid_hw(self) -> tuple[int, int]:
        """Rows and columns of the ViT's patch grid, U patches."""
        return self.resized.grid_hw

    @property
    def aux_hw(self) -> tuple[int, int]:
        """Height and width of the auxiliary image."""
        height, width = self.resized.auxiliary.values.shape[1:]
        return height, width

    @property
    def pixel_values(self) -> Tensor:
        """(U, 3 * frames * patch^2) float32 on the CPU; see `patches_on`."""
        return self.patches_on(torch.device("cpu"))

    @property
    def aux_image(self) -> Tensor:
        """(3, H, W) float32 on the CPU, ImageNet-normalised."""
        return self.resized.auxiliary.to(torch.device("cpu"))

    def patches_on(self, device: torch.device) -> Tensor:
        """What the ViT reads, on the device: (U, 3 * frames * patch^2) float32."""
        patches_U3P = self.resized.patches.to(device).transpose(0, 1)
        return patches_U3P[:, :, None].expand(-1, -1, self.resized.frames, -1).flatten(1)


class ImageProcessor:
    """Resizes, normalises and patches images as `preprocessor_config.json` says. Thread-safe.

    folder: where that file is, or None for the values of the base's family. Raises CheckpointError
    if the file is missing or is not JSON.
    """

    def __init__(self, folder: str | Path | None, config: Fo1Config) -> None:
        settings = {} if folder is None else _load_settings(Path(folder) / "preprocessor_config.json")
        default = config.base.images
        try:
            size = settings.get("size") or {}
            low = settings.get("min_pixels") or size.get("shortest_edge") or default.min_pixels
            high = settings.get("max_pixels") or size.get("longest_edge") or default.max_pixels
            mean, std = settings.get("image_mean") or default.mean, settings.get("image_std") or default.std
            self._min_pixels, self._max_pixels = _area(low), _area(high)
            if self._min_pixels > self._max_pixels:
                raise ValueError(f"min_pixels {low} is over max_pixels {high}")
            self._primary_table = _normalising_table(mean, std)
        except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
            raise CheckpointError(f"{folder}: preprocessor_config.json: {one_line(error)}") from None
        self._auxiliary_table = _normalising_table(_IMAGENET_MEAN, _IMAGENET_STD)
        self._crop_min_pixels = config.ocr_crop_min_pixels
        self._long_edge_px = config.long_edge_limit_px
        self._patch_px, self._merge = config.vision.patch_size, config.vision.spatial_merge_size
        self._frames = config.vision.temporal_patch_size

    def prepare(self, image: Image.Image, boxes_xyxy: np.ndarray) -> PreparedImage:
        """Prepare an RGB image and its boxes (R, 4), in pixels of this image; R may be 0.

        Boxes are clamped to the image; inverted and empty boxes are kept.
        """
        return self.place_boxes(self.resize(image), boxes_xyxy)

    def resize(self, image: Image.Image) -> ResizedImage:
        """The part of `prepare` before boxes. Raises ValueError if a side is over 200 times the other."""
        limited, scale_xy = limit_size(image, self._long_edge_px)
        width, height = fit_to_grid(
            *limited.size, self._patch_px * self._merge, self._min_pixels, self._max_pixels
        )
        return ResizedImage(
            NormalisedPixels(
                self._to_patches(limited.resize((width, height), Image.Resampling.BICUBIC)),
                self._primary_table,
            ),
            self._frames,
            (height // self._patch_px, width // self._patch_px),
            NormalisedPixels(
                np.ascontiguousarray(np.asarray(limited).transpose(2, 0, 1)), self._auxiliary_table
            ),
            scale_xy,
        )

    def prepare_crop(self, image: Image.Image, box_xyxy: Sequence[float]) -> PreparedImage:
        """Prepare what a box of an RGB image shows, at its own resolution and without boxes, to be read.

        A small crop is enlarged to the area that the checkpoint's configuration asks for.
        """
        crop = crop_with_margin(image, box_xyxy)
        enlarged = max(
            1.0,
            math.sqrt((self._crop_min_pixels or 0) / (crop.width * crop.height)),
            _SHORTEST_PX / min(crop.size),
        )
        if enlarged > 1:
            wh = round(crop.width * enlarged), round(crop.height * enlarged)
            crop = crop.resize(wh, Image.Resampling.BICUBIC)
        return self.place_boxes(self.resize(crop), np.empty((0, 4), dtype=np.float32))

    def place_boxes(self, resized: ResizedImage, boxes_xyxy: np.ndarray) -> PreparedImage:
        """The part of `prepare` that follows `resize`."""
        boxes_R4 = torch.as_tensor(np.asarray(boxes_xyxy, dtype=np.float32).reshape(-1, 4))
        boxes_R4 = boxes_R4 * torch.tensor([*resized.scale_xy, *resized.scale_xy], dtype=torch.float32)
        height, width = resized.auxiliary.values.shape[1:]
        limits_4 = torch.tensor([width, height, width, height]).float()
        aux_boxes_R4 = torch.minimum(boxes_R4.clamp(min=0), limits_4)
        rows, columns = resized.grid_hw
        to_vit = torch.tensor([columns * self._patch_px / width, rows * self._patch_px / height]).float()
        return PreparedImage(resized, aux_boxes_R4, aux_boxes_R4 * to_vit.repeat(2))

    def _to_patches(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """RGB image of whole patches to (3, U, patch^2), in the ViT's order of patches."""
        width, height = image.size
        patch, merge = self._patch_px, self._merge
        blocks = height // patch // merge, width // patch // merge
        pixels = np.asarray(image).reshape(blocks[0], merge, patch, blocks[1], merge, patch, 3)
        return np.ascontiguousarray(pixels.transpose(6, 0, 3, 1, 4, 2, 5)).reshape(3, -1, patch * patch)


def crop_with_margin(image: Image.Image, box_xyxy: Sequence[float]) -> Image.Image:
    """The pixels of a box and a little around it: a tenth of its shorter side, at least 2 px.

    The crop lies within the image, also where the box does not. No side is under a hundredth of the other.
    """
    left, right = crop_span(box_xyxy, 0, image.width)
    top, bottom = crop_span(box_xyxy, 1, image.height)
    return image.crop((left, top, right, bottom))


def crop_span(box_xyxy: Sequence[float], axis: int, side: int) -> tuple[int, int]:
    """The first pixel of a box's crop along an axis (0: x) of an image of this side, and the one behind."""
    sides = box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1]
    margin = max(_LEAST_MARGIN_PX, _MARGIN_SHARE * min(sides))
    missing = max(0.0, max(sides) / _LONGEST_CROP_ASPECT - (sides[axis] + 2 * margin)) / 2
    first = min(max(0, math.floor(box_xyxy[axis] - margin - missing)), side - 1)
    return first, max(first + 1, min(side, math.ceil(box_xyxy[axis + 2] + margin + missing)))


def limit_size(image: Image.Image, long_edge_px: int) -> tuple[Image.Image, tuple[float, float]]:
    """Shrink an image whose long edge exceeds the limit, and enlarge sides under 28 px; bicubic.

    Returns the image and the factors (x, y) by which its boxes scale.
    """
    width, height = image.size
    new_w, new_h = width, height
    long_edge = max(width, height)
    if long_edge > long_edge_px:
        new_w, new_h = int(width * long_edge_px / long_edge), int(height * long_edge_px / long_edge)
    new_w, new_h = max(new_w, _SHORTEST_PX), max(new_h, _SHORTEST_PX)
    if (new_w, new_h) == (width, height):
        return image, (1.0, 1.0)
    return image.resize((new_w, new_h), Image.Resampling.BICUBIC), (new_w / width, new_h / height)


def fit_to_grid(width: int, height: int, factor: int, min_pixels: int, max_pixels: int) -> tuple[int, int]:
    """The width and height that the ViT gets: multiples of `factor`, with an area within the limits.

    The aspect ratio is kept as well as that allows. As in the reference's image processor (Qwen2-VL, arXiv
    2409.12191, section 2.1). Raises ValueError if a side is over 200 times as long as the other.
    """
    if max(width, height) > _LONGEST_ASPECT * min(width, height):
        raise ValueError(
            f"an image of {width} x {height} px: one side is over {_LONGEST_ASPECT} times the other"
        )
    rounded = round(width / factor) * factor, round(height / factor) * factor
    area = rounded[0] * rounded[1]
    if min_pixels <= area <= max_pixels:
        return rounded
    if area > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        return max(factor, _floor(width / shrink, factor)), max(factor, _floor(height / shrink, factor))
    enlarge = math.sqrt(min_pixels / (width * height))
    return math.ceil(width * enlarge / factor) * factor, math.ceil(height * enlarge / factor) * factor


def _floor(value: float, factor: int) -> int:
    return math.floor(value / factor) * factor


def _load_settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path.parent}: no preprocessor_config.json")
    try:
        return parse_object(path.read_bytes())
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error


def _area(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= _MOST_PIXELS:
        raise ValueError(f"{str(value)[:60]!a} is no number of pixels up to {_MOST_PIXELS}")
    return value


def _normalising_table(mean: Sequence[float], std: Sequence[float]) -> npt.NDArray[np.float32]:
    """(3, 256) float32: what each value of each channel becomes, x / 255 less the mean over the deviation."""
    shares = (np.arange(256) * (1 / 255)).astype(np.float32)
    with np.errstate(over="ignore"):
        mean_3, std_3 = np.array(mean, dtype=np.float32), np.array(std, dtype=np.float32)
    fits = mean_3.shape == std_3.shape == (3,) and bool((abs(mean_3) <= _MOST_SHARE).all())
    if not (fits and bool((std_3 >= 1 / _MOST_SHARE).all()) and bool((std_3 <= _MOST_SHARE).all())):
        raise ValueError(
            f"image_mean and image_std need a number up to {_MOST_SHARE:g} for each channel, deviations of "
            f"at least {1 / _MOST_SHARE:g}"
        )
    return (shares - mean_3[:, None]) / std_3[:, None]
