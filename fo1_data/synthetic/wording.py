"""True descriptions of a scene: captions, phrases and relations. Draws no pixels.

A phrase is a set of attributes in a fixed order (size, fill, colour, shape). It names every object that has
all of them. Phrases may say `solid`; brief captions leave it out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fo1_data.synthetic.scenes import SceneObject
from fo1_data.synthetic.shapes import COLOURS, FILLS, NAMES, SHAPES, SIZES, allowed_fills

ANY = "object"
RELATIONS = ("left of", "right of", "above", "below")
# If two centres are closer than this along the axis of a relation, the relation is unclear.
_CLEAR_PX = 6.0

_PLACES = (
    ("upper left", "top", "upper right"),
    ("left", "center", "right"),
    ("lower left", "bottom", "lower right"),
)


@dataclass(frozen=True)
class Phrase:
    """The attributes that an object must have; None means any."""

    shape: str | None = None
    colour: str | None = None
    fill: str | None = None
    size: str | None = None

    def __str__(self) -> str:
        words = (self.size, self.fill, self.colour, self.shape or ANY)
        return " ".join(word for word in words if word)

    def names(self, thing: SceneObject) -> bool:
        """Whether `thing` has every attribute of the phrase."""
        pairs = (
            (self.shape, thing.shape),
            (self.colour, thing.colour),
            (self.fill, thing.fill),
            (self.size, thing.size),
        )
        return all(required is None or required == actual for required, actual in pairs)

    def matches(self, objects: Sequence[SceneObject]) -> list[int]:
        """The indices of all objects that the phrase names."""
        return [index for index, thing in enumerate(objects) if self.names(thing)]


@dataclass(frozen=True)
class Related:
    """The expression `{target} {relation} the {anchor}`; the anchor's phrase names a single object.

    `indices`: the objects of the scene that the expression names; `anchor_index`: the anchor's index.
    """

    target: Phrase
    relation: str
    anchor: Phrase
    indices: list[int]
    anchor_index: int

    def __str__(self) -> str:
        return f"{self.target} {self.relation} the {self.anchor}"


def label_of(thing: SceneObject) -> str:
    """Colour and shape: `blue square`."""
    return f"{thing.colour} {thing.shape}"


def brief_caption(thing: SceneObject) -> str:
    """`medium striped blue square`; a solid fill is left out."""
    fill = None if thing.fill == "solid" else thing.fill
    return str(Phrase(thing.shape, thing.colour, fill, thing.size))


def detailed_caption(thing: SceneObject, canvas_wh: tuple[int, int]) -> str:
    """`a medium solid blue square in the upper left of the image`."""
    full = Phrase(thing.shape, thing.colour, thing.fill, thing.size)
    return f"a {full} in the {place_of(thing.box_xyxy, canvas_wh)} of the image"


def place_of(box_xyxy: Sequence[float], canvas_wh: tuple[int, int]) -> str:
    """The name of the cell of a 3 x 3 grid over the image that holds the box's centre."""
    column = min(2, int((box_xyxy[0] + box_xyxy[2]) / 2 / canvas_wh[0] * 3))
    row = min(2, int((box_xyxy[1] + box_xyxy[3]) / 2 / canvas_wh[1] * 3))
    return _PLACES[row][column]


def draw_phrase(objects: Sequence[SceneObject], rng: np.random.Generator) -> Phrase:
    """A phrase for a random object, in one of six forms."""
    return _phrase_for(objects[int(rng.integers(len(objects)))], rng)


def draw_absent(objects: Sequence[SceneObject], rng: np.random.Generator) -> Phrase | None:
    """A phrase that names no object of the scene, mostly off by one attribute; None if 12 tries fail."""
    for _ in range(12):
        thing = objects[int(rng.integers(len(objects)))]
        if rng.random() < 0.7:
            phrase = _near_miss(_phrase_for(thing, rng), rng)
        else:
            phrase = _phrase_for(_random_object(rng), rng)
        if not phrase.matches(objects):
            return phrase
    return None


def draw_related(objects: Sequence[SceneObject], rng: np.random.Generator) -> Related | None:
    """An expression with a relation, if possible one that excludes another object that fits the target.

    None if 12 tries fail.
    """
    best: Related | None = None
    for _ in range(12):
        anchor_index = int(rng.integers(len(objects)))
        anchor = _shortest_unique(objects, anchor_index)
        target_index = int(rng.integers(len(objects)))
        if anchor is None or target_index == anchor_index:
            continue
        thing = objects[target_index]
        target = Phrase(thing.shape, thing.colour if rng.random() < 0.6 else None)
        relation = RELATIONS[int(rng.integers(4))]
        candidates = [index for index in target.matches(objects) if index != anchor_index]
        sides = [_side(objects[index], objects[anchor_index], relation) for index in candidates]
        if any(abs(side) < _CLEAR_PX for side in sides) or not any(side > 0 for side in sides):
            continue
        indices = [index for index, side in zip(candidates, sides, strict=True) if side > 0]
        best = Related(target, relation, anchor, indices, anchor_index)
        if len(indices) < len(candidates):
            return best
    return best


def _phrase_for(thing: SceneObject, rng: np.random.Generator) -> Phrase:
    form = rng.choice(6, p=[0.2, 0.35, 0.15, 0.1, 0.1, 0.1])
    if form == 0:
        return Phrase(thing.shape)
    if form == 1:
        return Phrase(thing.shape, thing.colour)
    if form == 2:
        return Phrase(thing.shape, thing.colour, None, thing.size)
    if form == 3:
        return Phrase(thing.shape, thing.colour, thing.fill)
    if form == 4:
        return Phrase(thing.shape, thing.colour, thing.fill, thing.size)
    return Phrase(None, thing.colour)


def _near_miss(phrase: Phrase, rng: np.random.Generator) -> Phrase:
    words = {"shape": NAMES, "colour": COLOURS, "fill": FILLS, "size": SIZES}
    present = [name for name in words if getattr(phrase, name) is not None]
    changed = str(rng.choice(present))
    others = [word for word in words[changed] if word != getattr(phrase, changed)]
    return Phrase(**{name: getattr(phrase, name) for name in words} | {changed: str(rng.choice(others))})


def _random_object(rng: np.random.Generator) -> SceneObject:
    shape, size = str(rng.choice(SHAPES)), str(rng.choice(SIZES))
    fill = str(rng.choice(allowed_fills(shape, size)))
    return SceneObject(shape, str(rng.choice(COLOURS)), fill, size, (0, 0, 0, 0))


def _shortest_unique(objects: Sequence[SceneObject], index: int) -> Phrase | None:
    thing = objects[index]
    for phrase in (Phrase(thing.shape), Phrase(thing.shape, thing.colour)):
        if phrase.matches(objects) == [index]:
            return phrase
    return None


def _side(thing: SceneObject, anchor: SceneObject, relation: str) -> float:
    """The distance in pixels from `anchor` to `thing` in the direction of `relation`; may be negative."""
    axis = 0 if relation in RELATIONS[:2] else 1
    step = sum(thing.box_xyxy[axis::2]) / 2 - sum(anchor.box_xyxy[axis::2]) / 2
    return -step if relation in ("left of", "above") else step
