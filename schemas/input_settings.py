"""The settings of a run that say how inputs are read: videos, large images, rasters, DICOM, boxes, limits."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from schemas.dicom_windows import parse_window
from schemas.problems import AUTO_OR_PIXELS, STRETCHES
from schemas.setting_marks import Setting, SettingGroup
from schemas.setting_values import Bands, TilePx

DEFAULT_TILE_OVERLAP = 0.3
DEFAULT_TRACKER, NO_TRACKER = "bytetrack", "none"
DEFAULT_FRAME_EVERY_S = 1.0
LEAST_TILE_PX, MOST_TILE_PX = 64, 8192

_LIMITS = Setting(SettingGroup.LIMITS)


class InputSettings(BaseModel):
    """How inputs are read. Raises ValidationError for values that no input can be read by."""

    limit: Annotated[int | None, _LIMITS] = Field(
        default=None, ge=1, description="Label only the first N images. Default: all."
    )
    tracker: Annotated[str | None, _LIMITS] = Field(
        default=None,
        description="What follows things through the frames of a video, so that a thing is captioned once: "
        "`bytetrack`, `sort`, `ocsort`, `botsort` or `cbiou`; `sam3`, which needs SAM 3 with its tracker as "
        "`proposals`; or `none`: frames are images of their own. Default: `bytetrack`, `sam3` if `proposals` "
        "is that, or `none` if `frame_every_s` is set.",
    )
    track_every: Annotated[int, _LIMITS] = Field(
        default=1,
        ge=1,
        description="Find boxes on every so many frames of a video that is tracked. Things should overlap "
        "themselves from one such frame to the next.",
    )
    frame_every_s: Annotated[float | None, _LIMITS] = Field(
        default=None,
        ge=0.001,
        description="Time between the frames that are read from a video as images of their own, in seconds. "
        "Default: 1 without a tracker.",
    )
    tile_px: Annotated[TilePx, _LIMITS] = Field(
        default=None,
        pattern=AUTO_OR_PIXELS,
        description="Label images that are larger than this in overlapping tiles of so many pixels a side, "
        "or `auto`: cut them if tiles show more boxes, in tiles of 16 times the median side of a box. "
        "Default: images are labelled as a whole, shrunk to the model's limit.",
    )
    tile_overlap: Annotated[float | None, _LIMITS] = Field(
        default=None,
        ge=0,
        le=0.5,
        description="Least overlap of neighbouring tiles, as a share of their side. Things up to this long "
        "are whole in a tile. Default: 0.3.",
    )
    bands: Annotated[Bands, _LIMITS] = Field(
        default=[],
        description="Bands of rasters (TIFF, JPEG 2000) to show as red, green and blue, counted from 1, such "
        "as `3,2,1`; or one band, to show as grey. Default: by the names of the bands, else by the file's "
        "colour interpretation, else the first three bands.",
    )
    stretch: Annotated[str | None, _LIMITS] = Field(
        default=None,
        pattern=STRETCHES,
        description="How values of rasters become brightness: between two percentiles of each band, such as "
        "`2,98`, or its extremes (`minmax`), or the full range of the type (`none`). Nodata never counts. "
        "Default: `none` for 8 bits, else `2,98`.",
    )
    window: Annotated[str | None, _LIMITS] = Field(
        default=None,
        description="Values of grey DICOM images that are shown from black to white: `CENTER/WIDTH` in "
        "modality units, such as `-600/1500`, or a preset of CT: `abdomen`, `bone`, `brain`, `liver`, "
        "`lung`, `mediastinum`, `spine`, `stroke`, `subdural`. Default: the window of each file, or "
        "percentiles 1 to 99 of its values if it has none.",
    )
    allow_burned_in_text: Annotated[bool, _LIMITS] = Field(
        default=False,
        description="Also label DICOM images that have, or may have, text in their pixels, such as a "
        "patient's name: BurnedInAnnotation is YES, or it is not NO and the image is an ultrasound, a "
        "secondary capture, a screenshot or of another kind that is not known to be free of text.",
    )
    keep_dicom_paths: Annotated[bool, _LIMITS] = Field(
        default=False,
        description="Write the addresses of a corpus with DICOM files into the dataset. They often name a "
        "patient, so without this setting they are replaced by keyed hashes.",
    )
    dicom_max_frames: Annotated[int, _LIMITS] = Field(
        default=2000, ge=1, description="Most frames of a DICOM file. Files with more are rejected."
    )
    box_frame: Annotated[Literal["auto", "stored", "oriented"], _LIMITS] = Field(
        default="auto",
        description="Frame of the corpus' boxes: pixels as `stored`, or `oriented` by EXIF. `auto` decides "
        "by the width and height that the corpus declares.",
    )
    score_floor: Annotated[float | None, _LIMITS] = Field(
        default=None,
        ge=0,
        le=1,
        description="Lowest score of a detector's box. "
        "Default: the detector's own (0.2 for `fo1-tiny`, 0.1 for others).",
    )
    nms_iou: Annotated[float | None, _LIMITS] = Field(
        default=None,
        gt=0,
        le=1,
        description="Overlap (IoU) above which the weaker of two boxes of a detector is dropped. "
        "Default: the detector's own (0.6 for `fo1-tiny`, 0.7 for others).",
    )
    max_proposals: Annotated[int, _LIMITS] = Field(
        default=100, ge=1, le=100, description="Most boxes that a detector gives for an image."
    )
    max_new_tokens: Annotated[int, _LIMITS] = Field(
        default=256, ge=1, le=4096, description="Longest answer, in tokens."
    )
    max_pixels: Annotated[int, _LIMITS] = Field(
        default=100_000_000, ge=1, description="Largest image, in pixels. Larger ones are rejected."
    )
    max_bytes: Annotated[int, _LIMITS] = Field(
        default=100 * 2**20, ge=1, description="Largest file, in bytes. Larger ones are rejected."
    )
    download_timeout_s: Annotated[float, Setting(SettingGroup.LIMITS, changes_rows=False)] = Field(
        default=30.0, gt=0, description="Longest download of an image, in seconds."
    )
    validation_share: Annotated[float, _LIMITS] = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Share of the images in the split `validation`, chosen by hash.",
    )
    test_share: Annotated[float, _LIMITS] = Field(
        default=0.05, ge=0, le=1, description="Share of the images in the split `test`, chosen by hash."
    )
    strict: Annotated[bool, Setting(SettingGroup.LIMITS, changes_rows=False)] = Field(
        default=False, description="End with exit code 1 if any input was rejected."
    )

    @model_validator(mode="after")
    def _videos_can_be_read(self) -> Self:
        if self.tracker_name is not None and self.frame_every_s is not None:
            raise ValueError(
                "frame_every_s is for frames without a tracker: leave it out, or set tracker to none"
            )
        if self.tracker_name is None and self.track_every != 1:
            raise ValueError("track_every needs a tracker")
        return self

    @model_validator(mode="after")
    def _values_can_be_shown(self) -> Self:
        if len(self.bands) not in (0, 1, 3) or any(band < 1 for band in self.bands):
            raise ValueError(
                "bands are counted from 1, and are three (red, green, blue), such as 3,2,1, or one, such as 4"
            )
        if self.stretch is not None and "," in self.stretch:
            low, high = map(float, self.stretch.split(","))
            if not low < high <= 100:
                raise ValueError("stretch is two percentiles from 0 to 100, the lower one first: 2,98")
        if self.window is not None:
            parse_window(self.window)
        return self

    @model_validator(mode="after")
    def _sizes_and_shares_fit(self) -> Self:
        if self.tile_side_px is not None and not LEAST_TILE_PX <= self.tile_side_px <= MOST_TILE_PX:
            raise ValueError(f"tile_px must be auto, or from {LEAST_TILE_PX} to {MOST_TILE_PX}")
        if self.validation_share + self.test_share > 1:
            raise ValueError("validation_share and test_share add up to more than 1")
        return self

    @property
    def tile_side_px(self) -> int | None:
        """The side of tiles in pixels; None without tiles, and while `auto` is not decided."""
        return int(self.tile_px) if self.tile_px is not None and self.tile_px.isdigit() else None

    @property
    def overlap_px(self) -> int:
        """The least overlap of tiles in pixels; 0 without tiles."""
        share = DEFAULT_TILE_OVERLAP if self.tile_overlap is None else self.tile_overlap
        return round((self.tile_side_px or 0) * share)

    @property
    def tracker_name(self) -> str | None:
        """The tracker of videos; None: their frames are images of their own."""
        if self.tracker is None:
            return DEFAULT_TRACKER if self.frame_every_s is None else None
        return None if self.tracker == NO_TRACKER else self.tracker

    @property
    def frame_step_s(self) -> float | None:
        """The time between the frames of a video that are listed, in seconds; None: it is tracked."""
        return None if self.tracker_name is not None else self.frame_every_s or DEFAULT_FRAME_EVERY_S
