"""How the values of a file that is no plain picture become colours: as a run is told, or as it did.

A run has settings; a row's `meta` records what they came to for its image. A picture that is made from the
record is the one that was labelled, whatever the settings are today.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from schemas.jobs import RunConfig
from schemas.rasters import RASTER_KEY, RasterRecord


@dataclass(frozen=True)
class Rendering:
    """`bands` (from 1; none: chosen by the file) and `stretch` (None: by the type of the values) of rasters;
    `raster`: what a row records, which stands above both."""

    bands: tuple[int, ...] = ()
    stretch: str | None = None
    raster: RasterRecord | None = field(default=None, compare=False)

    @classmethod
    def of_run(cls, config: RunConfig) -> "Rendering":
        """The rendering that the settings of a run ask for."""
        return cls(tuple(config.bands), config.stretch)

    @classmethod
    def of_row(cls, meta: str | Mapping[str, Any] | None) -> "Rendering":
        """The rendering that made the image of a row, by the row's `meta`."""
        return cls(raster=raster_record(meta))

    @property
    def is_told(self) -> bool:
        """Whether a run asks for bands or a stretch, or a row records them."""
        return bool(self.bands) or self.stretch is not None or self.raster is not None


def raster_record(meta: str | Mapping[str, Any] | None) -> RasterRecord | None:
    """What a row's `meta` records of a raster; None if it records nothing of that form."""
    try:
        document = json.loads(meta) if isinstance(meta, str) else meta
        return RasterRecord.model_validate(document[RASTER_KEY]) if document else None
    except (ValueError, KeyError, TypeError, ValidationError):
        return None
