"""Generated scenes: images of coloured shapes and short texts with exact gold, the same for the same seed.

A scene is an image with its objects. Boxes are `xyxy` in whole pixels of the image. Captions and phrases are
in `wording`; the gold of a scene, and a corpus of scenes on disk, are in `gold`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fo1_data.synthetic.backgrounds import KINDS, TONES, degrade, draw_background
from fo1_data.synthetic.corruption import add_texture, corrupt, draw_severity
from fo1_data.synthetic.layout import BoxPx, draw_canvas, find_place, intersection_px, next_in_tower
from fo1_data.synthetic.shapes import SIZE_RANGE_PX, SIZES, draw_colour
from fo1_data.synthetic.sketches import Sketch, draw_palette, draw_sketch, sketch_of


@dataclass(frozen=True)
class SceneObject:
    """An object with its attributes and its box; `text` is what an object of shape `text` reads."""

    shape: str
    colour: str
    fill: str
    size: str
    box_xyxy: BoxPx
    text: str | None = None


@dataclass(frozen=True)
class Scene:
    """An image with all its objects. `distractors_xyxy`: boxes that hold only background."""

    seed: int
    image: Image.Image
    objects: list[SceneObject]
    distractors_xyxy: list[BoxPx]


def make_scene(
    seed: int,
    num_objects: tuple[int, int] = (5, 20),
    canvas_wh: tuple[int, int] | None = None,
    corruption: float = 0.0,
) -> Scene:
    """Draw the scene of `seed`. `num_objects`: the fewest and the most objects to place.

    Without `canvas_wh` the canvas is chosen to fit. Objects without room are left out, but at least one is
    always drawn. `corruption`: 0 to 1, how much harder to see than in training the same objects may be, see
    `fo1_data.synthetic.corruption`.
    """
    rng = np.random.default_rng([seed, 7])
    corruption_rng = np.random.default_rng([seed, 13])
    severity = draw_severity(corruption, corruption_rng)
    count = int(rng.integers(num_objects[0], num_objects[1] + 1))
    tone = str(rng.choice(list(TONES), p=[0.4, 0.15, 0.2, 0.25]))
    kind = str(rng.choice(KINDS))
    palette = draw_palette(TONES[tone][1], rng)
    sketches = [draw_sketch(palette, count, rng) for _ in range(count)]
    area = float(sum(sketch.mask.width * sketch.mask.height for sketch in sketches))
    canvas = canvas_wh or draw_canvas(area, count, rng)
    pixels = draw_background(canvas, tone, kind, rng)
    if severity > 0:
        pixels = add_texture(pixels, severity, corruption_rng)
    background = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    objects = _place(background, sketches, palette, rng)
    boxes = [placed.box_xyxy for placed in objects]
    order = rng.permutation(len(objects))
    image = degrade(background, rng)
    return Scene(
        seed=seed,
        image=corrupt(image, boxes, severity, corruption_rng) if severity > 0 else image,
        objects=[objects[i] for i in order],
        distractors_xyxy=_distractors(canvas, boxes, rng),
    )


def _place(
    background: Image.Image, sketches: list[Sketch], palette: Sequence[str], rng: np.random.Generator
) -> list[SceneObject]:
    """Paste the sketches onto `background` at free positions, the largest first; returns the placed ones."""
    taken: list[BoxPx] = []
    placed: list[SceneObject] = []
    towers = rng.random() < 0.25
    for sketch in sorted(sketches, key=lambda sketch: -sketch.mask.width * sketch.mask.height):
        box = None
        drawn = sketch
        if towers and placed and placed[-1].shape == "square" and rng.random() < 0.8:
            drawn = sketch_of("square", str(rng.choice(list(palette))), placed[-1].size, rng)
            box = next_in_tower(placed[-1].box_xyxy, drawn.mask.size, background.size, taken)
        if box is None:
            drawn = sketch
            shared = 0.18 if rng.random() < 0.12 else 0.0
            box = find_place(drawn.mask.size, background.size, taken, rng, shared)
        if box is None:
            continue
        background.paste(draw_colour(drawn.colour, rng), box[:2], drawn.mask)
        taken.append(box)
        placed.append(SceneObject(drawn.shape, drawn.colour, drawn.fill, drawn.size, box, drawn.text))
    if not placed:
        return _place(background, [sketch_of("circle", palette[0], "small", rng)], palette, rng)
    return placed


def _distractors(canvas_wh: tuple[int, int], boxes: list[BoxPx], rng: np.random.Generator) -> list[BoxPx]:
    """Up to four boxes that overlap no object and not each other."""
    distractors: list[BoxPx] = []
    for _ in range(int(rng.integers(0, 5))):
        low, high = SIZE_RANGE_PX[str(rng.choice(SIZES))]
        wh = (int(rng.integers(low, high + 1)), int(rng.integers(low, high + 1)))
        box = find_place(wh, canvas_wh, boxes, rng, tries=10)
        if box is not None and all(intersection_px(box, other) == 0 for other in distractors):
            distractors.append(box)
    return distractors
