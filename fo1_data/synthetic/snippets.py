"""Generated texts to read: images of short strings in many sizes, colours and slants, with exact gold.

A string is either for training or held out, by its hash: so what a model is tested on was in no training
image, whatever the seeds. One font, that of Pillow. Boxes are `xyxy` in whole pixels of the image.
"""

import hashlib
import json
import string
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fo1_data.storage.addresses import refuse_taken
from fo1_data.synthetic.backgrounds import KINDS, TONES, degrade, draw_background
from fo1_data.synthetic.layout import BoxPx, find_place
from fo1_data.synthetic.shapes import COLOURS, draw_colour

LONGEST_TEXT = 8
CHARACTERS = string.ascii_letters + string.digits
_HELD_OUT_SHARE = 0.2
_HEIGHT_PX = (12, 40)
_STRETCH, _SLANT = (0.8, 1.3), (-0.2, 0.2)
_FONT_PX, _MARGIN_PX, _OUTLINES_PX = 64, 16, 4
_CANVAS_PX = (160, 400)


@dataclass(frozen=True)
class Snippet:
    """A string in an image, and the box of its ink."""

    text: str
    box_xyxy: BoxPx


@dataclass(frozen=True)
class SnippetImage:
    """An image with all strings in it."""

    seed: int
    image: Image.Image
    snippets: list[Snippet]


def is_held_out(text: str) -> bool:
    """Whether a string is never in a training image; a fifth of all strings are not."""
    return hashlib.sha256(text.encode()).digest()[0] < 256 * _HELD_OUT_SHARE


def draw_text(rng: np.random.Generator, *, held_out: bool, longest: int = LONGEST_TEXT) -> str:
    """A string of letters and digits, all lengths from 1 on equally often."""
    length = int(rng.integers(1, longest + 1))
    while True:
        text = "".join(rng.choice(list(CHARACTERS), length))
        if is_held_out(text) == held_out:
            return text


def character_ends(text: str) -> npt.NDArray[np.float64]:
    """Where each character of a string ends, as a share of its width, before any slant."""
    lengths = np.array([_font().getlength(text[: end + 1]) for end in range(len(text))])
    shares: npt.NDArray[np.float64] = lengths / lengths[-1]
    return shares


def make_snippets(
    seed: int,
    num_texts: tuple[int, int] = (1, 4),
    *,
    held_out: bool = False,
    longest: int = LONGEST_TEXT,
) -> SnippetImage:
    """Draw the image of `seed`. num_texts: the fewest and the most strings; those without room are left out,
    but at least one is always drawn. longest: the most characters of a string."""
    rng = np.random.default_rng([seed, 17])
    tone = str(rng.choice(list(TONES)))
    canvas_wh = (int(rng.integers(*_CANVAS_PX)), int(rng.integers(*_CANVAS_PX)))
    pixels = draw_background(canvas_wh, tone, str(rng.choice(KINDS)), rng)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    colours = [colour for colour in COLOURS if colour not in TONES[tone][1]]
    snippets: list[Snippet] = []
    wanted = int(rng.integers(num_texts[0], num_texts[1] + 1))
    while not snippets:
        for _ in range(wanted):
            text = draw_text(rng, held_out=held_out, longest=longest)
            mask = _draw_mask(text, rng)
            box = find_place(mask.size, canvas_wh, [snippet.box_xyxy for snippet in snippets], rng)
            if box is not None:
                image.paste(draw_colour(str(rng.choice(colours)), rng), box[:2], mask)
                snippets.append(Snippet(text, box))
    return SnippetImage(seed, degrade(image, rng), snippets)


def _draw_mask(text: str, rng: np.random.Generator) -> Image.Image:
    """The mask (mode L) of a string, cropped to its ink."""
    font = _font()
    outline = int(rng.integers(0, _OUTLINES_PX))
    left, top, right, bottom = font.getbbox(text, stroke_width=outline)
    canvas = Image.new("L", (round(right - left) + 2 * _MARGIN_PX, round(bottom - top) + 2 * _MARGIN_PX))
    place = (_MARGIN_PX - left, _MARGIN_PX - top)
    ImageDraw.Draw(canvas).text(place, text, font=font, fill=255, stroke_width=outline)
    slant = float(rng.uniform(*_SLANT))
    sheared = (1.0, slant, -slant * canvas.height / 2, 0.0, 1.0, 0.0)
    canvas = canvas.transform(canvas.size, Image.Transform.AFFINE, sheared, Image.Resampling.BICUBIC)
    ink = canvas.crop(canvas.getbbox())
    height = float(rng.uniform(*_HEIGHT_PX)) * ink.height / _FONT_PX
    width = height * ink.width / ink.height * float(rng.uniform(*_STRETCH))
    return ink.resize((max(2, round(width)), max(4, round(height))), Image.Resampling.LANCZOS)


def write_snippets(
    folder: Path, count: int, seed: int, num_texts: tuple[int, int], *, held_out: bool
) -> Path:
    """Write images `seed` to `seed + count - 1` as PNG files with an `annotations.jsonl`; returns its path.

    Raises ConfigError if the folder is not empty.
    """
    refuse_taken(folder)
    (folder / "images").mkdir(parents=True)
    listing = folder / "annotations.jsonl"
    with listing.open("w", encoding="utf-8") as lines:
        for number in range(seed, seed + count):
            made = make_snippets(number, num_texts, held_out=held_out)
            name = f"images/text-{number:08d}.png"
            made.image.save(folder / name)
            regions = [{"box_xyxy": snippet.box_xyxy, "text": snippet.text} for snippet in made.snippets]
            entry = {"image": name, "width": made.image.width, "height": made.image.height}
            lines.write(json.dumps({**entry, "regions": regions}) + "\n")
    return listing


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(_FONT_PX)
