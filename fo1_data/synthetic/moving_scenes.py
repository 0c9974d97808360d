"""Generated moving scenes: shots in which shapes and texts move, cross, cover each other, leave and return.

A thing keeps its look; its box is around what can be seen of it. It has no box in a frame where less than a
quarter of its pixels can be seen, because it is covered or outside: these frames are gaps of its track. A
thing that comes back is the same track if it was covered however long, or outside for a second at most: a
person who follows it then still expects it. After longer it is another track. Tracks end at cuts.

Frames are numbered from 0. Boxes are `xyxy` in whole pixels of the frame.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image

from fo1_data.boxes import Boxes, areas, as_boxes, clip_boxes
from fo1_data.synthetic.backgrounds import KINDS, TONES, draw_background
from fo1_data.synthetic.layout import BoxPx
from fo1_data.synthetic.motion import draw_kind, path_of
from fo1_data.synthetic.scenes import SceneObject
from fo1_data.synthetic.shapes import SHAPES, TEXT, draw_colour
from fo1_data.synthetic.sketches import Sketch, draw_palette, sketch_of

# The least share of a thing's pixels that is seen where it has a box.
LEAST_SEEN = 0.25
# How long a thing may be outside and still be the same, in seconds.
LONGEST_OUT_S = 1.0
# A track has at least so many boxes; things that are seen for less are left out of the scene.
LEAST_BOXES = 5
# A mask counts as the thing from this value on, as in the boxes of scenes that stand still.
_SOLID = 64
_LONG_EDGE_PX, _ASPECTS = (280, 337), (4 / 3, 3 / 2, 16 / 9)
# Most things can be seen whole most of the time, as in the scenes that the bundled detector knows. Of so many
# paths the first is taken on which few enough frames show the thing over or under another one (that it meets
# on purpose, or not), or cut by the edge; if there is none, the thing is left out.
_TRIES, _SHARED = 80, 0.02
_MOST_MET, _MOST_TOUCHED, _MOST_CUT = 0.2, 0.02, 0.2
# How many of the things meet another one on their way.
_MEETING = 0.5
_SIZE_SHARES = {"small": 0.1, "medium": 0.5, "large": 0.4}
# Without panels, whose edges the bundled detector takes for things where there are few.
_KINDS = tuple(kind for kind in KINDS if kind != "panels")
# Tones that look alike do not follow each other at a cut.
_LIKE = {"light": "light", "white": "light", "middle": "middle", "dark": "dark"}


@dataclass(frozen=True)
class MovingTrack:
    """What one thing shows of itself. `thing.box_xyxy` is its first box."""

    thing: SceneObject
    frames: list[int]
    boxes_xyxy: list[BoxPx]


@dataclass(frozen=True)
class _Thing:
    """A thing of a shot; `corners` (F, 2): where the upper left corner of its mask lies in each frame."""

    sketch: Sketch
    colour_rgb: tuple[int, int, int]
    corners: npt.NDArray[np.int64]

    @cached_property
    def boxes(self) -> Boxes:
        """(F, 4) float32, also where it is outside the image."""
        return as_boxes(np.concatenate([self.corners, self.corners + self.sketch.mask.size], axis=1))

    @cached_property
    def solid(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.sketch.mask) >= _SOLID


@dataclass(frozen=True)
class _Shot:
    """A still background and the things in front of it, the last one nearest."""

    background: Image.Image
    things: list[_Thing]
    num_frames: int

    def image(self, number: int) -> Image.Image:
        image = self.background.copy()
        for thing in self.things:
            image.paste(thing.colour_rgb, tuple(thing.corners[number]), thing.sketch.mask)
        return image


@dataclass(frozen=True)
class _Sight:
    """What is seen of a thing: share of its pixels in each frame, share inside the image, box or None."""

    seen: list[float]
    inside: list[float]
    boxes: list[BoxPx | None]


@dataclass(frozen=True)
class MovingScene:
    """A moving scene; `tracks` in the order of their first frames. `cuts`: the first frame after each."""

    seed: int
    width: int
    height: int
    fps: float
    cuts: list[int]
    tracks: list[MovingTrack]
    shots: list[_Shot]

    @property
    def num_frames(self) -> int:
        return sum(shot.num_frames for shot in self.shots)

    def images(self) -> Iterator[Image.Image]:
        """The frames in their order."""
        for shot in self.shots:
            for number in range(shot.num_frames):
                yield shot.image(number)


def make_moving_scene(
    seed: int,
    num_frames: int = 60,
    fps: float = 12.5,
    num_objects: tuple[int, int] = (3, 7),
    num_cuts: int = 0,
) -> MovingScene:
    """The moving scene of `seed`: `num_cuts` cuts at even distances, the fewest and the most things a shot.

    Sides are even, the longer one 280 to 336 px. Things without a path on which they are seen well, or with a
    track of fewer than five boxes, are left out, but a shot has at least one.
    """
    rng = np.random.default_rng([seed, 23])
    count = int(rng.integers(num_objects[0], num_objects[1] + 1))
    canvas = _draw_canvas(rng)
    starts = [round(num_frames * part / (num_cuts + 1)) for part in range(num_cuts + 2)]
    shots: list[_Shot] = []
    tracks: list[MovingTrack] = []
    tone = ""
    for first, end in pairwise(starts):
        tone = str(rng.choice([name for name in TONES if _LIKE[name] != _LIKE.get(tone)]))
        shot, found = _draw_shot(end - first, fps, canvas, tone, count, rng)
        shots.append(shot)
        tracks += [_moved(track, first) for track in found]
        count = int(rng.integers(num_objects[0], num_objects[1] + 1))
    return MovingScene(seed, *canvas, fps, starts[1:-1], tracks, shots)


def _draw_canvas(rng: np.random.Generator) -> tuple[int, int]:
    """Width and height, even; the longer side is `_LONG_EDGE_PX`."""
    long = int(rng.integers(*_LONG_EDGE_PX))
    short = long / float(rng.choice(_ASPECTS))
    sides = (long // 2 * 2, round(short) // 2 * 2)
    return sides if rng.random() < 0.75 else sides[::-1]


def _draw_shot(
    num_frames: int, fps: float, canvas: tuple[int, int], tone: str, count: int, rng: np.random.Generator
) -> tuple[_Shot, list[MovingTrack]]:
    pixels = draw_background(canvas, tone, str(rng.choice(_KINDS)), rng)
    background = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    palette = draw_palette(TONES[tone][1], rng)
    things: list[_Thing] = []
    for _ in range(count):
        thing = _draw_thing(_draw_sketch(palette, rng), things, num_frames, canvas, rng)
        things += [thing] if thing is not None else []
    order = rng.permutation(len(things))
    things = [things[index] for index in order]
    while True:
        tracks_of = [
            _tracks(thing, sight, fps) for thing, sight in zip(things, _sights(things, canvas), strict=True)
        ]
        kept = [
            thing
            for thing, tracks in zip(things, tracks_of, strict=True)
            if tracks and min(len(track.frames) for track in tracks) >= min(LEAST_BOXES, num_frames)
        ]
        if kept and len(kept) == len(things):
            break
        things = kept or [_still_thing(_draw_sketch(palette, rng), num_frames, canvas, rng)]
    tracks = [track for tracks in tracks_of for track in tracks]
    return _Shot(background, things, num_frames), sorted(tracks, key=lambda track: track.frames[0])


def _draw_sketch(palette: Sequence[str], rng: np.random.Generator) -> Sketch:
    size = str(rng.choice(list(_SIZE_SHARES), p=list(_SIZE_SHARES.values())))
    shape = TEXT if size != "small" and rng.random() < 0.05 else str(rng.choice(SHAPES))
    return sketch_of(shape, str(rng.choice(list(palette))), size, rng)


def _draw_thing(
    sketch: Sketch, others: list[_Thing], num_frames: int, canvas: tuple[int, int], rng: np.random.Generator
) -> _Thing | None:
    """A thing on the first path on which it is seen well enough; None if all tries fail."""
    colour = draw_colour(sketch.colour, rng)
    kind = draw_kind(rng)
    meets = bool(others) and kind in ("drift", "wave") and rng.random() < _MEETING
    for _ in range(_TRIES):
        path = path_of(kind, num_frames, canvas, max(sketch.mask.size), rng, meets)
        if meets:
            other, when = others[int(rng.integers(len(others)))], int(num_frames * rng.uniform(0.25, 0.75))
            path += other.corners[when] + np.array(other.sketch.mask.size) / 2 - path[when]
        corners = np.rint(path - np.array(sketch.mask.size) / 2).astype(np.int64)
        thing = _Thing(sketch, colour, corners)
        if _is_seen_well(thing, others, canvas, _MOST_MET if meets else _MOST_TOUCHED):
            return thing
    return None


def _still_thing(
    sketch: Sketch, num_frames: int, canvas: tuple[int, int], rng: np.random.Generator
) -> _Thing:
    path = path_of("still", num_frames, canvas, max(sketch.mask.size), rng)
    corners = np.rint(path - np.array(sketch.mask.size) / 2).astype(np.int64)
    return _Thing(sketch, draw_colour(sketch.colour, rng), corners)


def _is_seen_well(thing: _Thing, others: list[_Thing], canvas: tuple[int, int], most_met: float) -> bool:
    """Whether the thing meets others in at most this share of its frames, none of its own colour, and is
    whole in most frames."""
    boxes = thing.boxes
    whole = areas(boxes)
    inside = areas(clip_boxes(boxes, canvas)) / whole
    met = np.zeros(len(boxes), bool)
    for other in others:
        low, high = np.maximum(boxes[:, :2], other.boxes[:, :2]), np.minimum(boxes[:, 2:], other.boxes[:, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        if other.sketch.colour == thing.sketch.colour and shared.any():
            return False  # nobody could tell them apart
        met |= shared > _SHARED * np.minimum(whole, areas(other.boxes))
    is_cut = (inside > 0) & (inside < 1)
    return bool(met.mean() <= most_met and is_cut.mean() <= _MOST_CUT and (inside == 1).mean() >= 0.4)


def _sights(things: list[_Thing], canvas: tuple[int, int]) -> list[_Sight]:
    """What is seen of each thing in each frame."""
    sights = [_Sight([], [], []) for _ in things]
    for number in range(len(things[0].corners) if things else 0):
        top = np.full((canvas[1], canvas[0]), -1, np.int16)
        for index, thing in enumerate(things):
            inside = _paint(top, thing, number, index)
            sights[index].inside.append(inside / max(1, int(thing.solid.sum())))
        for index, (thing, sight) in enumerate(zip(things, sights, strict=True)):
            rows, columns = np.nonzero(top == index)
            share = len(rows) / max(1, int(thing.solid.sum()))
            sight.seen.append(share)
            sight.boxes.append(
                (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
                if share >= LEAST_SEEN
                else None
            )
    return sights


def _paint(top: npt.NDArray[np.int16], thing: _Thing, number: int, index: int) -> int:
    """Write `index` where the thing lies in front of what was painted before; returns its pixels inside."""
    x, y = (int(value) for value in thing.corners[number])
    height, width = thing.solid.shape
    left, right = max(0, x), min(top.shape[1], x + width)
    upper, lower = max(0, y), min(top.shape[0], y + height)
    if left >= right or upper >= lower:
        return 0
    solid = thing.solid[upper - y : lower - y, left - x : right - x]
    top[upper:lower, left:right][solid] = index
    return int(solid.sum())


def _tracks(thing: _Thing, sight: _Sight, fps: float) -> list[MovingTrack]:
    """The tracks of a thing; more than one if it was outside for longer than a person would wait."""
    tracks: list[MovingTrack] = []
    num_out = 0
    for number, box in enumerate(sight.boxes):
        if box is None:
            num_out += sight.inside[number] < LEAST_SEEN
            continue
        if not tracks or num_out > LONGEST_OUT_S * fps:
            tracks.append(MovingTrack(_object(thing.sketch, box), [], []))
        tracks[-1].frames.append(number)
        tracks[-1].boxes_xyxy.append(box)
        num_out = 0
    return tracks


def _object(sketch: Sketch, box: BoxPx) -> SceneObject:
    return SceneObject(sketch.shape, sketch.colour, sketch.fill, sketch.size, box, sketch.text)


def _moved(track: MovingTrack, first: int) -> MovingTrack:
    return MovingTrack(track.thing, [first + number for number in track.frames], track.boxes_xyxy)
