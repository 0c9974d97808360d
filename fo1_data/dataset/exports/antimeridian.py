"""Rings of longitude and latitude, cut where they cross the antimeridian (RFC 7946, 3.1.9).

A box is small against the globe: of its edges the short way round is meant. A ring around a pole goes along
the antimeridian to the pole and back, so that it has the pole inside.
"""

from itertools import pairwise

import numpy as np

from fo1_data.corpus.map_frames import Numbers, counterclockwise


def polygons_of_ring(ring: Numbers) -> list[Numbers]:
    """The closed rings, each within -180 to 180 degrees, that a closed ring (M, 2) consists of."""
    lon = np.degrees(np.unwrap(np.radians(ring[:, 0])))
    if is_around_pole(ring):
        return [_around_pole(lon, ring[:, 1])]
    lon -= 360.0 * np.floor((lon.min() + 180.0) / 360.0)
    whole = np.stack([lon, ring[:, 1]], axis=1)
    if lon.max() <= 180.0:
        return [_closed(whole, ring)]
    west = _cut(whole, keep_west=True)
    east = _cut(whole, keep_west=False) - np.array([360.0, 0.0])
    return [counterclockwise(part[None])[0] for part in (west, east)]


def is_around_pole(ring: Numbers) -> bool:
    """Whether a closed ring (M, 2) has a pole inside: its longitudes go all the way round."""
    lon = np.unwrap(np.radians(ring[:, 0]))
    return bool(abs(lon[-1] - lon[0]) > np.pi)


def _closed(shifted: Numbers, ring: Numbers) -> Numbers:
    """The ring itself where nothing was shifted: unwrapping costs the last digits."""
    closed: Numbers = ring if np.allclose(shifted, ring, atol=1e-6) else shifted
    return closed


def _around_pole(lon: Numbers, lat: Numbers) -> Numbers:
    """The closed ring of a box with a pole inside; lon: unwrapped, so that it ends a turn from its start."""
    if lon[-1] < lon[0]:
        lon, lat = lon[::-1], lat[::-1]
    lon = lon - 360.0 * np.floor((lon[0] + 180.0) / 360.0)
    at_border, pole = np.interp(180.0, lon, lat), np.copysign(90.0, lat.mean())
    points = np.stack([lon, lat], axis=1)[:-1]
    is_west = points[:, 0] < 180.0
    beyond = points[~is_west & (points[:, 0] > 180.0)] - np.array([360.0, 0.0])
    ends = [[180.0, at_border], [180.0, pole], [-180.0, pole], [-180.0, at_border]]
    closed = np.concatenate([ends[-1:], beyond, points[is_west], ends])
    oriented: Numbers = counterclockwise(closed[None])[0]
    return oriented


def _cut(ring: Numbers, keep_west: bool) -> Numbers:
    """The part of a closed ring on one side of 180 degrees (Sutherland-Hodgman), closed."""
    kept: list[Numbers] = []
    for first, second in pairwise(ring):
        inside, next_inside = ((point[0] <= 180.0) == keep_west for point in (first, second))
        if inside:
            kept.append(first)
        if inside != next_inside:
            share = (180.0 - first[0]) / (second[0] - first[0])
            kept.append(np.array([180.0, first[1] + share * (second[1] - first[1])]))
    part: Numbers = np.array([*kept, kept[0]])
    return part
