"""Other views of a training image in which everything said of it stays true, its boxes above all.

Works on an opened image and its entry (boxes in that image's pixels), before its boxes are shuffled. Each
kind is off unless its setting says otherwise, and then draws nothing, so that a run without it is the same
to the bit.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from fo1_data.training.samples.said import speaks_of_place, speaks_of_side, texts_of
from fo1_data.training.settings import TrainConfig
from schemas.corpus import CorpusImage
from schemas.regions import Box

_LEAST_SIDE_PX = 28
_TRIES = 20


def augment(
    rgb: Image.Image, entry: CorpusImage, rng: np.random.Generator, config: TrainConfig
) -> tuple[Image.Image, CorpusImage]:
    """The image and its entry, mirrored, cropped and lit otherwise, as the settings say."""
    if config.mirror_share and rng.random() < config.mirror_share and can_be_mirrored(entry):
        rgb, entry = mirrored(rgb, entry)
    if config.crop_share and rng.random() < config.crop_share and can_be_cropped(entry):
        rgb, entry = cropped(rgb, entry, rng)
    if config.light_jitter:
        rgb = relit(rgb, rng, config.light_jitter)
    return rgb, entry


def can_be_mirrored(entry: CorpusImage) -> bool:
    """False where anything said speaks of a side, or text can be read."""
    if any(region.text for region in entry.regions or []):
        return False
    return not speaks_of_side(texts_of(entry))


def can_be_cropped(entry: CorpusImage) -> bool:
    """False where something is said of the image as a whole, or anything speaks of a place in it."""
    if entry.caption_phrases or any(answer.region_index is None for answer in entry.answers):
        return False
    return not speaks_of_place(texts_of(entry))


def mirrored(rgb: Image.Image, entry: CorpusImage) -> tuple[Image.Image, CorpusImage]:
    """Left and right exchanged."""
    width = rgb.width

    def turn(box: Box) -> Box:
        x_min, y_min, x_max, y_max = box
        return (width - x_max, y_min, width - x_min, y_max)

    return ImageOps.mirror(rgb), _with_boxes(entry, turn)


def cropped(
    rgb: Image.Image, entry: CorpusImage, rng: np.random.Generator
) -> tuple[Image.Image, CorpusImage]:
    """A part of the image that holds every box whole; at whole pixels."""
    boxes = np.array([region.box_xyxy for region in entry.regions or []])
    most = [*np.floor(boxes[:, :2].min(axis=0)), *np.ceil(boxes[:, 2:].max(axis=0))]
    left, top = (int(rng.integers(0, max(0, int(edge)) + 1)) for edge in most[:2])
    right, bottom = (
        int(rng.integers(min(side, int(edge)), side + 1))
        for edge, side in zip(most[2:], rgb.size, strict=True)
    )
    if right - left < _LEAST_SIDE_PX or bottom - top < _LEAST_SIDE_PX:
        return rgb, entry

    def move(box: Box) -> Box:
        x_min, y_min, x_max, y_max = box
        return (x_min - left, y_min - top, x_max - left, y_max - top)

    return rgb.crop((left, top, right, bottom)), _with_boxes(entry, move)


def relit(rgb: Image.Image, rng: np.random.Generator, jitter: float) -> Image.Image:
    """Brightness and contrast changed by up to `jitter` of themselves; hues stay: captions name them."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast):
        rgb = enhance(rgb).enhance(float(1 + rng.uniform(-jitter, jitter)))
    return rgb


def free_place(
    image_wh: tuple[int, int], size_wh: tuple[float, float], boxes: list[Box], rng: np.random.Generator
) -> Box | None:
    """A box of a size that touches none of `boxes`, at whole pixels; None where no try finds one."""
    width, height = (round(side) for side in size_wh)
    room = (image_wh[0] - width, image_wh[1] - height)
    if min(width, height) < 1 or min(room) < 0:
        return None
    for _ in range(_TRIES):
        x, y = (int(rng.integers(0, side + 1)) for side in room)
        place = (float(x), float(y), float(x + width), float(y + height))
        if not any(_touch(place, box) for box in boxes):
            return place
    return None


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _with_boxes(entry: CorpusImage, change: Callable[[Box], Box]) -> CorpusImage:
    moved = [
        region.model_copy(update={"box_xyxy": change(region.box_xyxy)}) for region in entry.regions or []
    ]
    return entry.model_copy(update={"regions": moved})
