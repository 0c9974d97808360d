"""Which bands of a raster are shown as red, green and blue, and which one says where it has data.

Bands count from 1, as in GDAL. In this order decide: the bands that were asked for; a palette; the names of
the bands, where they name red, green and blue; the colour interpretation of the file; else the first three
bands, as GIS programs do, or the first alone where there are fewer.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fo1_data.errors import InputReject
from schemas.images import RejectStage

_COLOURS = ("red", "green", "blue")
# A name with one of these is of another part of the spectrum, although it may contain "red".
_OTHERS = re.compile(r"edge|infra|near|short|thermal|nir|swir", re.IGNORECASE)
_WORDS = re.compile(r"[a-z]+|\d+", re.IGNORECASE)
# Sentinel-2 writes its bands with two digits.
_SENTINEL = {"B04": "red", "B03": "green", "B02": "blue"}


@dataclass(frozen=True)
class ShownBands:
    """The bands shown, one (grey, or a palette's indices) or three, what decided, and the alpha band."""

    numbers: tuple[int, ...]
    chosen_by: str
    alpha: int | None = None
    palette: Any = None


def choose_bands(dataset: Any, asked: Sequence[int] = ()) -> ShownBands:
    """Choose the bands of an open rasterio dataset. Raises InputReject if a band asked for is not there."""
    meanings = [interpretation.name for interpretation in dataset.colorinterp]
    missing = [number for number in asked if number > dataset.count]
    if missing:
        raise InputReject(
            RejectStage.DECODE,
            "no_such_band",
            f"bands {','.join(map(str, asked))} are asked for, but the raster has {dataset.count}",
        )
    if asked:
        return ShownBands(tuple(asked), "bands", _alpha_of(dataset, asked))
    if meanings[0] == "palette":
        return ShownBands((1,), "palette", _alpha_of(dataset, (1,)), dataset.colormap(1))
    by_name = _in_order([_colour_of(name or "") for name in dataset.descriptions])
    by_meaning = _in_order(meanings)
    numbers = by_name or by_meaning or _first_bands(dataset.count, _alpha_of(dataset, ()))
    chosen_by = "descriptions" if by_name else "colour_interpretation" if by_meaning else "order"
    return ShownBands(numbers, chosen_by, _alpha_of(dataset, numbers))


def _alpha_of(dataset: Any, shown: Sequence[int]) -> int | None:
    """The alpha band, unless it is shown or its name says otherwise: writers call any fourth band alpha."""
    for number, (meaning, name) in enumerate(zip(dataset.colorinterp, dataset.descriptions, strict=True), 1):
        is_named = name and not re.search("alpha|mask|transparen|opacity", name, re.IGNORECASE)
        if meaning.name == "alpha" and number not in shown and not is_named:
            return number
    return None


def _first_bands(count: int, alpha: int | None) -> tuple[int, ...]:
    others = [number for number in range(1, count + 1) if number != alpha] or [1]
    return tuple(others[:3] if len(others) >= 3 else others[:1])


def _in_order(colours: Sequence[str | None]) -> tuple[int, ...] | None:
    """The numbers of the red, green and blue bands; None if one of them is missing."""
    if not set(_COLOURS) <= set(colours):
        return None
    return tuple(colours.index(colour) + 1 for colour in _COLOURS)


def _colour_of(name: str) -> str | None:
    """The colour that the name of a band means: `red`, `Green (560 nm)`, `B`, `B04`; None for others."""
    if _OTHERS.search(name):
        return None
    words = [word.lower() for word in _WORDS.findall(name)]
    found = [colour for colour in _COLOURS if colour in words or words == [colour[0]]]
    if len(found) == 1:
        return found[0]
    return _SENTINEL.get(name.strip().upper())
