"""Augmentation of a training image: mirror, crop, brightness, contrast, box jitter; all labels stay true.

Works on an opened image and its entry (boxes in that image's pixels), before its boxes are shuffled. A kind
of augmentation that is off draws no random numbers, so a run without it is unchanged to the bit.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from fo1_data.boxes import Boxes, clip_boxes
from fo1_data.training.samples.entry_texts import mention_place, mention_side, texts_of
from fo1_data.training.settings import TrainConfig
from schemas.corpus import CorpusImage
from schemas.regions import Box

_MIN_SIDE_PX = 28
_MAX_TRIES = 20


def augment(
    rgb: Image.Image, entry: CorpusImage, rng: np.random.Generator, config: TrainConfig
) -> tuple[Image.Image, CorpusImage]:
    """Mirror, crop and relight an image and its entry as the settings say."""
    if config.mirror_share and rng.random() < config.mirror_share and can_mirror(entry):
        rgb, entry = mirror(rgb, entry)
    if config.crop_share and rng.random() < config.crop_share and can_crop(entry):
        rgb, entry = crop(rgb, entry, rng)
    if config.light_jitter:
        rgb = relight(rgb, rng, config.light_jitter)
    return rgb, entry


def can_mirror(entry: CorpusImage) -> bool:
    """False if a text mentions a side, or the image shows readable text."""
    if any(region.text for region in entry.regions or []):
        return False
    return not mention_side(texts_of(entry))


def can_crop(entry: CorpusImage) -> bool:
    """False if a label describes the whole image, or a text mentions a place in it."""
    if entry.caption_phrases or any(answer.region_index is None for answer in entry.answers):
        return False
    return not mention_place(texts_of(entry))


def mirror(rgb: Image.Image, entry: CorpusImage) -> tuple[Image.Image, CorpusImage]:
    """Exchange left and right."""
    width = rgb.width

    def mirror_box(box: Box) -> Box:
        x_min, y_min, x_max, y_max = box
        return (width - x_max, y_min, width - x_min, y_max)

    return ImageOps.mirror(rgb), _change_boxes(entry, mirror_box)


def crop(rgb: Image.Image, entry: CorpusImage, rng: np.random.Generator) -> tuple[Image.Image, CorpusImage]:
    """Crop to a random part at whole pixels that contains every box entirely.

    Returns the image unchanged if a side of the part would be shorter than 28 pixels.
    """
    boxes = np.array([region.box_xyxy for region in entry.regions or []])
    hull = [*np.floor(boxes[:, :2].min(axis=0)), *np.ceil(boxes[:, 2:].max(axis=0))]
    left, top = (int(rng.integers(0, max(0, int(edge)) + 1)) for edge in hull[:2])
    right, bottom = (
        int(rng.integers(min(side, int(edge)), side + 1))
        for edge, side in zip(hull[2:], rgb.size, strict=True)
    )
    if right - left < _MIN_SIDE_PX or bottom - top < _MIN_SIDE_PX:
        return rgb, entry

    def shift_box(box: Box) -> Box:
        x_min, y_min, x_max, y_max = box
        return (x_min - left, y_min - top, x_max - left, y_max - top)

    return rgb.crop((left, top, right, bottom)), _change_boxes(entry, shift_box)


def relight(rgb: Image.Image, rng: np.random.Generator, jitter: float) -> Image.Image:
    """Change brightness and contrast by up to the share `jitter`; hues stay, because captions name them."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast):
        rgb = enhance(rgb).enhance(float(1 + rng.uniform(-jitter, jitter)))
    return rgb


def jitter_boxes(
    boxes_xyxy: Boxes, image_wh: tuple[int, int], share: float, rng: np.random.Generator
) -> Boxes:
    """Move each side of (N, 4) boxes by up to `share` of the box's width or height; clip to the image."""
    sides = np.tile(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 2)
    moved = boxes_xyxy + rng.uniform(-share, share, boxes_xyxy.shape).astype(np.float32) * sides
    return clip_boxes(moved, image_wh)


def draw_free_box(
    image_wh: tuple[int, int], box_wh: tuple[float, float], boxes: list[Box], rng: np.random.Generator
) -> Box | None:
    """Draw a box of a size, at whole pixels, that overlaps none of `boxes`; None after 20 failed tries."""
    width, height = (round(side) for side in box_wh)
    room = (image_wh[0] - width, image_wh[1] - height)
    if min(width, height) < 1 or min(room) < 0:
        return None
    for _ in range(_MAX_TRIES):
        x, y = (int(rng.integers(0, side + 1)) for side in room)
        candidate = (float(x), float(y), float(x + width), float(y + height))
        if not any(_overlap(candidate, box) for box in boxes):
            return candidate
    return None


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _change_boxes(entry: CorpusImage, change: Callable[[Box], Box]) -> CorpusImage:
    regions = [
        region.model_copy(update={"box_xyxy": change(region.box_xyxy)}) for region in entry.regions or []
    ]
    return entry.model_copy(update={"regions": regions})
