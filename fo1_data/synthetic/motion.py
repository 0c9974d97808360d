"""Smooth paths of things over an image: drifts, waves and ellipses, some beyond its edges and back.

A path is (F, 2) float64, the x and y of a thing's centre in pixels in each of F frames.
"""

import math

import numpy as np
import numpy.typing as npt

Path = npt.NDArray[np.float64]

KINDS = ("still", "drift", "wave", "ellipse", "out and back")
_SHARES = (0.2, 0.28, 0.22, 0.2, 0.1)
# The speed of a thing in sides a frame, and at most so many pixels: it overlaps itself from frame to frame.
# Things are fast that others see little of: those that meet another one, or leave the image.
_SPEED_SIDES, _FAST_SIDES = (0.03, 0.13), (0.09, 0.15)
_MOST_PX = 7.0
# The part of the image, from the middle, through which a path leads at some time.
_MIDDLE = 0.35


def draw_kind(rng: np.random.Generator) -> str:
    """A random kind of path."""
    return str(rng.choice(KINDS, p=_SHARES))


def path_of(
    kind: str,
    num_frames: int,
    canvas_wh: tuple[int, int],
    side_px: float,
    rng: np.random.Generator,
    is_fast: bool = False,
) -> Path:
    """A path of this kind. No thing moves further than a fifth of its side or 8 px from frame to frame."""
    size = np.array(canvas_wh, np.float64)
    speeds = _FAST_SIDES if is_fast or kind == "out and back" else _SPEED_SIDES
    speed = min(float(rng.uniform(*speeds)) * side_px, _MOST_PX)
    anchor = size * rng.uniform(0.5 - _MIDDLE, 0.5 + _MIDDLE, 2)
    angle = float(rng.uniform(0, 2 * math.pi))
    ahead = np.array([math.cos(angle), math.sin(angle)])
    across = np.array([-ahead[1], ahead[0]])
    time = np.arange(num_frames, dtype=np.float64) - float(rng.uniform(0, num_frames))
    path = np.repeat(anchor[None], num_frames, axis=0)
    if kind == "drift":
        path += time[:, None] * speed * ahead
    elif kind == "wave":
        reach = float(rng.uniform(0.5, 2.0)) * side_px
        along, sway = time * speed * 0.8, reach * np.sin(time * speed / reach / 2)
        path += along[:, None] * ahead + sway[:, None] * across
    elif kind == "ellipse":
        radii = rng.uniform(0.1, 0.4, 2) * size.min()
        phase = time * speed / radii.max()
        path += radii[0] * np.cos(phase)[:, None] * ahead + radii[1] * np.sin(phase)[:, None] * across
    elif kind == "out and back":
        path = _out_and_back(num_frames, size, side_px, speed, rng)
    return path


def _out_and_back(
    num_frames: int, size: npt.NDArray[np.float64], side_px: float, speed: float, rng: np.random.Generator
) -> Path:
    """A path that leaves the image over one edge, turns outside and comes back the way it went."""
    axis, is_far = int(rng.integers(2)), bool(rng.integers(2))
    turn = num_frames * float(rng.uniform(0.3, 0.7))
    beyond = side_px * float(rng.uniform(0.35, 0.7))
    # Distance from the edge, less than 0 outside: a parabola around the turn that becomes straight.
    soft = 0.35 * side_px
    away = np.sqrt(((np.arange(num_frames) - turn) * speed) ** 2 + soft**2) - soft - beyond
    path = np.empty((num_frames, 2))
    path[:, axis] = size[axis] - away if is_far else away
    drift = float(rng.uniform(-0.3, 0.3)) * speed
    start = size[1 - axis] * float(rng.uniform(0.2, 0.8))
    path[:, 1 - axis] = start + drift * (np.arange(num_frames) - turn)
    return path
