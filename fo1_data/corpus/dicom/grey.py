"""Grey levels of DICOM images: stored values to the 8 bits that a person sees (PS3.3, C.7.6.16, C.11).

In this order: unused high bits are dropped, the modality LUT or rescale gives modality units, the VOI LUT or
window gives grey, MONOCHROME1 is turned, padding is black. All of it is done once for each value that occurs,
not for each pixel: a table of at most 65,536 entries, in float64.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fo1_data.corpus.dicom.files import refused
from schemas.dicom_windows import DicomWindow

# Shares of the values between which an image without a window is shown.
PERCENTILES = (0.01, 0.99)
_STRIP_PIXELS = 2**22

Values = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Grey:
    """An image in 8 bits, and what it was made with, for `meta`."""

    levels: npt.NDArray[np.uint8]
    meta: dict[str, Any]


@dataclass(frozen=True)
class _Window:
    """A window in modality units. function: how values become grey, as PS3.3, C.11.2.1.3 names it."""

    center: float
    width: float
    function: str
    origin: str

    def grey(self, values: Floats) -> Floats:
        """0 to 1 for each value."""
        center, width = self.center, self.width
        if self.function == "SIGMOID":
            return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700))))
        if self.function == "LINEAR":
            center, width = center - 0.5, width - 1
        if width <= 0:
            return (values > center).astype(np.float64)
        return np.asarray(np.clip((values - center) / width + 0.5, 0, 1))

    @property
    def meta(self) -> dict[str, Any]:
        return {
            "window": [self.center, self.width],
            "window_function": self.function,
            "window_from": self.origin,
        }


def to_grey(values: Values, header: Any, asked: DicomWindow | None) -> Grey:
    """The grey levels of a frame of stored values (H, W). `header`: of the frame; `asked`: the run's window.

    Raises InputReject if the window that was asked for does not fit the image.
    """
    domain, places = _domain(values)
    modality = _to_modality(domain, header)
    is_padding = _is_padding(domain, header)
    lut = None if asked is not None else _first(header.get("VOILUTSequence"))
    if lut is not None:
        grey = _looked_up(lut, modality, header, as_share=True)
        meta: dict[str, Any] = {"window_from": "lut"}
    else:
        window = _asked(asked, header) if asked is not None else _declared(header)
        if window is None:
            window = _percentiles(modality, _counts(places, len(domain)), is_padding)
        grey, meta = window.grey(modality), window.meta
    if str(header.get("PhotometricInterpretation")).strip() == "MONOCHROME1":
        grey, meta = 1 - grey, {**meta, "inverted": True}
    table = np.rint(grey * 255).astype(np.uint8)
    table[is_padding] = 0
    return Grey(table[places], meta)


def _domain(values: Values) -> tuple[Values, Values]:
    """The values that may occur, in order, and the place of each pixel's value among them."""
    if values.dtype.kind in "iu" and values.dtype.itemsize <= 2:
        low, high = int(values.min()), int(values.max())
        unsigned = values.view(f"u{values.dtype.itemsize}")
        places = unsigned - np.array(low).astype(values.dtype).view(unsigned.dtype)
        return np.arange(low, high + 1), places
    domain, places = np.unique(values, return_inverse=True)
    return domain, places.reshape(values.shape)


def _counts(places: Values, length: int) -> Values:
    """How often each value occurs, in strips: bincount needs 8 bytes for each pixel."""
    flat = places.reshape(-1)
    counts = np.zeros(length, np.int64)
    for start in range(0, len(flat), _STRIP_PIXELS):
        counts += np.bincount(flat[start : start + _STRIP_PIXELS], minlength=length)
    return counts


def _to_modality(domain: Values, header: Any) -> Floats:
    lut = _first(header.get("ModalityLUTSequence"))
    if lut is not None:
        return _looked_up(lut, domain.astype(np.float64), header, as_share=False)
    slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
    return domain.astype(np.float64) * float(1 if slope is None else slope) + float(intercept or 0)


def _looked_up(lut: Any, values: Floats, header: Any, as_share: bool) -> Floats:
    """Values through a lookup table (PS3.3, C.11.1.1 and C.11.2.1.1). as_share: of the table's full range."""
    length, first, bits = (int(value) for value in lut.LUTDescriptor)
    length = length or 2**16
    data = lut.LUTData
    if isinstance(data, bytes):
        order = ">" if not header.original_encoding[1] else "<"
        data = np.frombuffer(data, f"{order}u2" if len(data) >= 2 * length else "u1")
    entries = np.asarray(data)[:length].astype(np.float64)
    if bits <= 16 and first >= 2**15 and values.min() < 0:
        first -= 2**16  # signed, and read as unsigned
    places = np.clip(np.rint(values) - first, 0, len(entries) - 1).astype(np.int64)
    return np.asarray(entries[places] / ((2**bits - 1) if as_share else 1))


def _is_padding(domain: Values, header: Any) -> npt.NDArray[np.bool_]:
    """Which values stand for no picture (PS3.3, C.7.5.1.1.2)."""
    first = header.get("PixelPaddingValue")
    if first is None or not isinstance(first, int | float):
        return np.zeros(len(domain), bool)
    last = header.get("PixelPaddingRangeLimit")
    ends = sorted((first, last if isinstance(last, int | float) else first))
    return np.asarray((domain >= ends[0]) & (domain <= ends[1]))


def _asked(asked: DicomWindow, header: Any) -> _Window:
    if asked.preset is not None and str(header.get("Modality")).strip() != "CT":
        raise refused(
            "window_of_ct",
            f"the window {asked.preset} is in Hounsfield units and the image is no CT: give CENTER/WIDTH",
        )
    return _Window(asked.center, asked.width, "LINEAR", asked.preset or "setting")


def _declared(header: Any) -> _Window | None:
    """The first window of the file; None if it has none that can be used."""
    center, width = _first(header.get("WindowCenter")), _first(header.get("WindowWidth"))
    function = str(header.get("VOILUTFunction") or "LINEAR").strip().upper()
    if center is None or width is None or function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        return None
    window = _Window(float(center), float(width), function, "file")
    least = 1 if function == "LINEAR" else 0
    usable = np.isfinite([window.center, window.width]).all()
    return window if usable and window.width >= least and window.width > 0 else None


def _percentiles(modality: Floats, counts: Values, is_padding: npt.NDArray[np.bool_]) -> _Window:
    """The window between two percentiles of the values that are no padding."""
    counts = np.where(is_padding | ~np.isfinite(modality), 0, counts)
    order = np.argsort(modality, kind="stable")
    sums = np.cumsum(counts[order])
    if not sums[-1]:
        raise refused("no_pixels", "every pixel is padding")
    places = np.searchsorted(sums, [max(1, np.ceil(share * sums[-1])) for share in PERCENTILES])
    low, high = (float(value) for value in modality[order][places])
    return _Window((low + high) / 2, max(high - low, 1e-6), "LINEAR_EXACT", "percentiles")


def _first(value: Any) -> Any:
    """The first value of an element or item of a sequence; None if there is none."""
    if value is None or isinstance(value, str | bytes | int | float):
        return value or None if isinstance(value, str | bytes) else value
    values = list(value)
    return values[0] if values else None
