"""Which frames of a shot the model looks at: a few that together show each track well.

A greedy cover: the frame is taken that adds most, then the next, until none adds much. A frame adds to each
track in it: how much better it shows the thing than the frames before, and for the second and third look at
it a part of that, because looks that agree are evidence. A look close to another one in time is little
evidence. Pure: the same tracks give the same frames.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from fo1_data.boxes import Floats
from fo1_data.tracking.shot_tracks import FollowedThing
from fo1_data.tracking.views import Views

KEYFRAMES_A_TRACK = 3
# What the first, second and third look at a track is worth, as a share of how well it shows the thing.
_WORTH = (1.0, 0.5, 0.35)
_LEAST_GAIN = 0.25
# A track's candidates: its best view, and the best of so many parts of its time.
_PARTS = 16
_CUT, _HIDDEN = 0.5, 0.9


def view_quality(views: Views) -> Floats:
    """How well each view (N,) of one thing shows it, 0 to 1, compared with the best of its views.

    The root of area and sharpness, each as a share of the largest, less for what is covered or cut.
    """
    size = np.sqrt(views.area_px / max(float(views.area_px.max(initial=0)), 1e-6))
    detail = np.sqrt((views.sharpness + 1) / (float(views.sharpness.max(initial=0)) + 1))
    quality = size * detail * (1 - _HIDDEN * views.covered) * (1 - _CUT * views.cut)
    best = float(quality.max(initial=0))
    relative: Floats = (quality / best if best > 0 else np.ones_like(quality)).astype(np.float32)
    return relative


def choose_keyframes(
    things: Sequence[FollowedThing], apart: int, most_a_track: int = KEYFRAMES_A_TRACK
) -> list[int]:
    """The numbers of the frames, ascending. Each thing is in one of them at least.

    apart: two looks at a thing that are so many frames apart are evidence of their own; nearer ones less.
    most_a_track: how many looks at a thing are wanted; 1 to 3.
    """
    qualities = [view_quality(thing.views) for thing in things]
    seen: dict[int, list[tuple[int, float]]] = {
        int(thing.frames[place]): []
        for thing, quality in zip(things, qualities, strict=True)
        for place in _candidates(quality)
    }
    for number, (thing, quality) in enumerate(zip(things, qualities, strict=True)):
        for frame, value in zip(thing.frames.tolist(), quality.tolist(), strict=True):
            if frame in seen:
                seen[frame].append((number, value))
    looks = [_Looks(apart, _WORTH[:most_a_track]) for _ in things]

    def gain(frame: int) -> float:
        return sum(looks[number].gain(frame, value) for number, value in seen[frame])

    queue = [(-gain(frame), frame) for frame in seen]
    heapq.heapify(queue)
    chosen: list[int] = []
    while queue:
        _, frame = heapq.heappop(queue)
        present = gain(frame)  # it can only have become less
        if queue and -queue[0][0] > present:
            heapq.heappush(queue, (-present, frame))
            continue
        if present < _LEAST_GAIN and all(looks[number].frames for number, _ in seen[frame]):
            continue
        chosen.append(frame)
        for number, value in seen[frame]:
            looks[number].add(frame, value)
    return sorted(chosen)


def choose_looks(
    things: Sequence[FollowedThing], keyframes: Sequence[int], apart: int, most: int = KEYFRAMES_A_TRACK
) -> list[list[int]]:
    """The keyframes in which each thing is asked about, ascending: those that add most, `most` at most.

    Every keyframe shows all its things; only so many questions are worth their cost.
    """
    chosen = []
    for thing in things:
        quality = dict(zip(thing.frames.tolist(), view_quality(thing.views).tolist(), strict=True))
        waiting = [frame for frame in keyframes if frame in quality]
        looks = _Looks(apart, _WORTH[:most])
        while waiting and len(looks.frames) < most:
            # The best view first: of the rest, the clearest that is not of the same moment.
            best = max(waiting, key=lambda frame: (looks.gain(frame, quality[frame]), -frame))
            looks.add(best, quality[best])
            waiting.remove(best)
        chosen.append(sorted(looks.frames))
    return chosen


def _candidates(quality: Floats) -> list[int]:
    """The places of the best view, and of the best one in each part of the time."""
    bounds = np.linspace(0, len(quality), min(_PARTS, len(quality)) + 1).astype(int)
    return sorted({int(quality.argmax()), *(int(a + quality[a:b].argmax()) for a, b in pairwise(bounds))})


@dataclass
class _Looks:
    """The looks at one thing so far."""

    apart: int
    worth: Sequence[float]
    best: float = 0.0
    frames: list[int] = field(default_factory=list)

    def gain(self, frame: int, quality: float) -> float:
        """What another look adds. It never grows as looks are added."""
        number = len(self.frames)
        better = self.worth[0] * max(0.0, quality - self.best)
        if number == 0 or number >= len(self.worth):
            return better
        nearest = min(abs(frame - other) for other in self.frames)
        return min(quality, better + self.worth[number] * quality * min(1.0, nearest / max(1, self.apart)))

    def add(self, frame: int, quality: float) -> None:
        self.best = max(self.best, quality)
        self.frames.append(frame)
