"""What a row's `meta` says of a raster: how its values became colours, and where on Earth it lies."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

RASTER_KEY = "raster"
AffineSix = tuple[float, float, float, float, float, float]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class RasterRecord(BaseModel):
    """The value of `meta.raster`.

    `bands`: those shown as red, green and blue (one: grey, or the indices of a palette), from 1, and what
    chose them; `stretch` and, for each of these bands, the two values that became 0 and 255; `alpha_top`: the
    value of the alpha band that is opaque. `white_is_zero`: small values are light. `nodata`: as text, since
    it may be NaN. `crs`: `EPSG:N`, or WKT where there is no such code. `transform`: a, b, c, d, e, f of
    x = a * column + b * row + c, y = d * column + e * row + f for pixel corners of the upright image.
    `transform_from`: `file`, `world_file`, or `gcps` if it is fitted to control points, with the largest
    `gcp_error_px`.
    """

    model_config = ConfigDict(extra="ignore")

    bands: list[Annotated[int, Field(ge=1)]] = Field(min_length=1, max_length=3)
    bands_by: str | None = None
    stretch: str
    limits: list[tuple[Finite, Finite]]
    dtype: str | None = None
    count: int | None = None
    palette: bool = False
    white_is_zero: bool = False
    alpha: int | None = None
    alpha_top: Finite | None = None
    nodata: str | None = None
    crs: str | None = None
    transform: AffineSix | None = None
    transform_from: str | None = None
    gcp_error_px: float | None = None
