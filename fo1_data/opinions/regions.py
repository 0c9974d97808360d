"""A region as a second model is asked about it, and what such a model is.

A stock vision-language model knows no region tokens: it is shown a crop of the region with some of what lies
around it, in the image's own pixels, or the whole image and the box in numbers. Does not load anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

from schemas.labels import LabelKind
from schemas.regions import Box

# Kinds that a region's own answer can be compared with.
ASKED_KINDS = (LabelKind.BRIEF_CAPTION, LabelKind.OCR)
INSTRUCTIONS = {
    LabelKind.BRIEF_CAPTION: (
        "What is the main object in this picture? Answer with a short noun phrase and its most visible "
        "attribute, such as: red car. Answer with the phrase alone."
    ),
    LabelKind.OCR: (
        "Read the text in this picture. Answer with the text alone, or with nothing if there is none."
    ),
}
# The same of a region in a picture of all. `{box}`: its corners, as the model writes boxes.
BOX_INSTRUCTIONS = {
    LabelKind.BRIEF_CAPTION: (
        'What is the object at {{"bbox_2d": {box}}} in this picture? Answer with a short noun phrase and its '
        "most visible attribute, such as: red car. Answer with the phrase alone."
    ),
    LabelKind.OCR: (
        'Read the text at {{"bbox_2d": {box}}} in this picture. Answer with the text alone, or with nothing '
        "if there is none."
    ),
}
# The share of a box's sides that is shown around it; the smallest and the largest side of an enlarged crop.
_MARGIN = 0.1
_SMALLEST_PX, _LARGEST_PX = 56, 1024


@dataclass(frozen=True)
class RegionQuestion:
    """What is asked about one region: the RGB image, a box in its pixels, and a kind of `ASKED_KINDS`."""

    image: Image.Image
    box_xyxy: Box
    kind: LabelKind


class SecondModel(Protocol):
    """Answers questions about regions."""

    def answer(self, questions: Sequence[RegionQuestion]) -> list[str | None]:
        """An answer for each question, in order; None where the model gave none. Raises RunError."""
        ...


def box_instruction(question: RegionQuestion, frame_wh: tuple[int, int]) -> str:
    """The text of a question about the whole image. frame_wh: of the frame in which the model reads boxes."""
    scales = [frame / side for frame, side in zip(frame_wh, question.image.size, strict=True)] * 2
    corners = [
        min(max(round(value * scale), 0), limit)
        for value, scale, limit in zip(question.box_xyxy, scales, [*frame_wh, *frame_wh], strict=True)
    ]
    return BOX_INSTRUCTIONS[question.kind].format(box=corners)


def crop_of(question: RegionQuestion) -> Image.Image:
    """The region with a margin around it, clipped to the image; small ones are enlarged."""
    x_min, y_min, x_max, y_max = question.box_xyxy
    margin_x, margin_y = (x_max - x_min) * _MARGIN, (y_max - y_min) * _MARGIN
    width, height = question.image.size
    left, top = max(0, int(x_min - margin_x)), max(0, int(y_min - margin_y))
    right = min(width, max(left + 1, round(x_max + margin_x)))
    bottom = min(height, max(top + 1, round(y_max + margin_y)))
    crop = question.image.crop((min(left, width - 1), min(top, height - 1), right, bottom))
    scale = min(_SMALLEST_PX / min(crop.size), _LARGEST_PX / max(crop.size))
    if scale <= 1:
        return crop
    enlarged_wh = round(crop.width * scale), round(crop.height * scale)
    return crop.resize(enlarged_wh, resample=Image.Resampling.BICUBIC)
