"""The settings of a labelling run: one model for the command line, a TOML file and a job's JSON.

Each field is described once, here. `fo1 label --help`, the OpenAPI text of `POST /v1/jobs` and
`docs/settings.md` are made from it. If a setting has no value by default, the last sentence of its
description, after `Default:`, says what that means.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.dicom_windows import parse_window
from schemas.labels import LabelKind
from schemas.setting_marks import Setting, SettingGroup, setting_of
from schemas.setting_values import (
    Actors,
    Bands,
    Kinds,
    OpinionView,
    SecondQuestion,
    SecondQuestions,
    TilePx,
    Words,
)

DEFAULT_LABELS = [LabelKind.BRIEF_CAPTION, LabelKind.GROUNDED_CAPTION]
DEFAULT_TILE_OVERLAP = 0.3
DEFAULT_TRACKER, NO_TRACKER = "bytetrack", "none"
DEFAULT_FRAME_EVERY_S = 1.0
LEAST_TILE_PX, MOST_TILE_PX = 64, 8192

_LABELS = Setting(SettingGroup.LABELS)
_REVIEW = Setting(SettingGroup.REVIEW)
_LIMITS = Setting(SettingGroup.LIMITS)
_PLACEMENT = Setting(SettingGroup.PLACEMENT, changes_rows=False)


class RunConfig(BaseModel):
    """Every setting of `fo1 label`. Unknown keys are refused; units are in the names."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    corpus: str = Field(
        description="What to label: a folder, a glob, a list of URIs (`.txt`, `.jsonl` or Parquet), a "
        "dataset folder, COCO JSON, Pascal VOC, YOLO, WebDataset tars or an `annotations.jsonl`; "
        "a path or a URL."
    )
    out: Annotated[str, Setting(changes_rows=False)] = Field(
        description="Folder or URL to write the dataset to. A run that was begun there is resumed."
    )
    name: Annotated[str | None, _LABELS] = Field(
        default=None,
        description="Name of the dataset. Default: the last part of the corpus' address.",
    )
    model: Annotated[str, _LABELS] = Field(
        default="fo1-tiny",
        description="Checkpoint to use: `fo1-tiny` (bundled), a folder or URL in the layout of VLM-FO1, "
        "or a hub id (`owner/name`).",
    )
    proposals: Annotated[str, _LABELS] = Field(
        default="auto",
        description="Source of the boxes: `corpus`, `fo1-tiny` (the bundled detector), `auto` (the corpus if "
        "it has boxes, else `fo1-tiny`), a file of boxes (JSONL, Parquet by file name; GeoParquet, GeoJSON "
        "or GeoPackage, by coordinates), a folder of `fo1 train-detector`, or the folder or hub id of a "
        "transformers detector, of SAM 3 or of Florence-2.",
    )
    masks: Annotated[str | None, _LABELS] = Field(
        default=None,
        description="Checkpoint of SAM 2 or SAM 3, a folder or hub id, that gives every region without a "
        "mask one, from its box. Default: none, only `proposals` may give masks.",
    )
    labels: Annotated[Kinds, _LABELS] = Field(
        default=DEFAULT_LABELS,
        min_length=1,
        description="Kinds of labels to make. `detect` and `count` need `vocabulary`, `ask` needs "
        "`question`, `ground` takes the phrases of the corpus or of `phrases`.",
    )
    vocabulary: Annotated[Words, _LABELS] = Field(
        default=[],
        description="Words to detect and count; a zero-shot detector looks for them. `@corpus` stands for "
        "the words that an image's own counts name.",
    )
    phrases: Annotated[str | None, _LABELS] = Field(
        default=None,
        description="File of phrases to ground in every image, one a line; a zero-shot detector looks for "
        "them too. "
        "Default: the phrases that the corpus has for each image.",
    )
    question: Annotated[str | None, _LABELS] = Field(
        default=None,
        description="Question of the label kind `ask`. It is asked about every region if it contains "
        "`{region}`, else once for each image. Default: none.",
    )
    second_questions: Annotated[SecondQuestions, _REVIEW] = Field(
        default=[SecondQuestion.ASK_BACK, SecondQuestion.ABSENCE],
        description="Follow-up questions about unsure labels, or `none`. `ask_back`: does the caption find "
        "its region again? `absence`: is the phrase in the image at all? `blind`: how likely is the caption "
        "without sight of its region?",
    )
    unsure_below: Annotated[float, _REVIEW] = Field(
        default=0.95,
        ge=0,
        le=1,
        description="A label is unsure, and second questions are asked about it, if the probability of its "
        "least sure part is below this. 0: never, 1: always.",
    )

    second_opinion: Annotated[str | None, _REVIEW] = Field(
        default=None,
        description="Another vision-language model that is asked about the regions of unsure labels: the "
        "folder or hub id of a checkpoint that transformers or this project loads, or the address of an "
        "OpenAI-compatible server, `http://HOST/v1#MODEL`, which is sent crops of the images (its key: "
        "FO1_SECOND_OPINION_KEY). How far it agrees is a signal of the label. Default: none.",
    )
    second_opinion_view: Annotated[OpinionView, _REVIEW] = Field(
        default=OpinionView.CROP,
        description="What that model is shown of a region: a `crop` of it, or the whole image and its `box` "
        "in numbers, which checkpoints of Qwen2.5-VL (pixels of the image as they see it) and Qwen3-VL "
        "(thousandths) were taught to read. A VLM-FO1 checkpoint is asked by region tokens, a server always "
        "about a crop.",
    )

    calibration: Annotated[str | None, _REVIEW] = Field(
        default=None,
        description="Calibration file made by `fo1 calibrate`. Default: none, so labels get no confidence.",
    )
    max_error: Annotated[float | None, _REVIEW] = Field(
        default=None,
        gt=0,
        lt=1,
        description="Highest share of wrong labels among the accepted ones. Needs `calibration`. "
        "Default: none, no error is promised.",
    )
    confidence_level: Annotated[float, _REVIEW] = Field(
        default=0.9, gt=0, lt=1, description="Probability with which `max_error` holds."
    )
    review_budget: Annotated[float | None, _REVIEW] = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Labels that people can review: a number, or below 1 a share of all labels. "
        "Default: no limit.",
    )
    audit: Annotated[float, _REVIEW] = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the accepted labels that is drawn for review, to measure their true error.",
    )
    whole_images: Annotated[bool, _REVIEW] = Field(
        default=False,
        description="Review budget and audit are of whole images, as people open them: the budget is a "
        "number or share of images, and all labels of an image are drawn together. Off: of single labels, "
        "for `fo1 review push --asked-only`.",
    )
    seed: Annotated[int, _REVIEW] = Field(default=0, description="Seed of every random draw.")

    address: Annotated[str | None, _PLACEMENT] = Field(
        default=None,
        description="Ray cluster: `auto`, `HOST:PORT`, or `in-process` for this process alone, without Ray. "
        "Default: a local Ray, or the cluster that RAY_ADDRESS names.",
    )
    actors: Annotated[Actors, _PLACEMENT] = Field(
        default="1",
        pattern=r"^[1-9]\d*(:[1-9]\d*)?$",
        description="Number of labelling actors: `N`, or `MIN:MAX` on a cluster that grows and shrinks.",
    )
    cpus_per_actor: Annotated[float, _PLACEMENT] = Field(
        default=1.0, gt=0, description="CPUs that each actor reserves."
    )
    gpus_per_actor: Annotated[float | None, _PLACEMENT] = Field(
        default=None,
        ge=0,
        description="GPUs that each actor reserves; fractions are allowed. "
        "Default: 1 if the cluster has GPUs, else 0.",
    )
    object_store_bytes: Annotated[int, _PLACEMENT] = Field(
        default=200 * 2**20,
        ge=80 * 2**20,
        description="Memory of a local Ray's object store, in bytes. Pixels never pass through it.",
    )
    shard_size: Annotated[int, Setting(SettingGroup.PLACEMENT)] = Field(
        default=32,
        ge=1,
        le=10_000,
        description="Images in a shard. A shard is the unit of work and of resuming.",
    )
    file_rows: Annotated[int, _PLACEMENT] = Field(
        default=50_000,
        ge=1,
        description="Most images of finished shards that are gathered into a file for each split, while the "
        "run goes on. A resumed run keeps the limits that it was begun with.",
    )
    file_bytes: Annotated[int, _PLACEMENT] = Field(
        default=256 * 2**20,
        ge=1,
        description="Most bytes of rows that are gathered into a file for each split, as they are before "
        "compression: pixels, if they are embedded, and labels.",
    )
    max_tries: Annotated[int, _PLACEMENT] = Field(
        default=3,
        ge=1,
        description="How often one image may crash its actor before it is rejected.",
    )
    placement_timeout_s: Annotated[float, _PLACEMENT] = Field(
        default=300.0,
        ge=0,
        description="How long to wait until the cluster has room for the actors, in seconds.",
    )

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
    embed_images: Annotated[bool, _LABELS] = Field(
        default=False, description="Store the bytes of the images in the dataset."
    )
    box_frame: Annotated[Literal["auto", "stored", "oriented"], _LIMITS] = Field(
        default="auto",
        description="Frame of the corpus' boxes: pixels as `stored`, or `oriented` by EXIF. `auto` decides "
        "by the width and height that the corpus declares.",
    )
    tile_px: Annotated[TilePx, _LIMITS] = Field(
        default=None,
        pattern=r"^(auto|[1-9]\d{1,4})$",
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
    parent: Annotated[str | None, _LABELS] = Field(
        default=None,
        description="Finished dataset to take the rows of images from that were labelled there before. "
        "Default: none.",
    )
    replay_rejects: Annotated[bool, Setting(SettingGroup.LABELS, changes_rows=False)] = Field(
        default=False, description="Try the rejected inputs of `out` again."
    )
    strict: Annotated[bool, Setting(SettingGroup.LIMITS, changes_rows=False)] = Field(
        default=False, description="End with exit code 1 if any input was rejected."
    )
    force: Annotated[bool, Setting(SettingGroup.REVIEW, changes_rows=False)] = Field(
        default=False,
        description="Use a calibration made for another model, proposer or wording of the questions, "
        "with a warning.",
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

    dtype: Annotated[Literal["float32", "bfloat16"] | None, Setting(SettingGroup.PLACEMENT)] = Field(
        default=None,
        description="Number type of the model. Default: `bfloat16` on a GPU, `float32` on a CPU.",
    )
    device: Annotated[str | None, _PLACEMENT] = Field(
        default=None,
        description="Device of the model: `cpu`, `cuda` or `cuda:N`. Default: `cuda` if there is a GPU.",
    )
    batch_images: Annotated[int, _PLACEMENT] = Field(
        default=8, ge=1, description="Images that the engine holds open at once."
    )
    engine_bytes: Annotated[int | None, _PLACEMENT] = Field(
        default=None,
        ge=2**20,
        description="Memory of the engine for open images and their answers, in bytes. "
        "Default: half of the device's free memory, at most 1 GiB on a CPU.",
    )
    max_new_tokens: Annotated[int, _LIMITS] = Field(
        default=256, ge=1, le=4096, description="Longest answer, in tokens."
    )

    bands: Annotated[Bands, _LIMITS] = Field(
        default=[],
        description="Bands of rasters (TIFF, JPEG 2000) to show as red, green and blue, counted from 1, such "
        "as `3,2,1`; or one band, to show as grey. Default: by the names of the bands, else by the file's "
        "colour interpretation, else the first three bands.",
    )
    stretch: Annotated[str | None, _LIMITS] = Field(
        default=None,
        pattern=r"^(none|minmax|\d{1,3}(\.\d+)?,\d{1,3}(\.\d+)?)$",
        description="How values of rasters become brightness: between two percentiles of each band, such as "
        "`2,98`, or its extremes (`minmax`), or the full range of the type (`none`). Nodata never counts. "
        "Default: `none` for 8 bits, else `2,98`.",
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

    @model_validator(mode="after")
    def _needs(self) -> "RunConfig":
        kinds = set(self.labels)
        if kinds & {LabelKind.DETECT, LabelKind.COUNT} and not self.vocabulary:
            raise ValueError("labels detect and count need a vocabulary, such as cat,dog")
        if LabelKind.ASK in kinds and not self.question:
            raise ValueError("label ask needs a question")
        if self.second_opinion_view is OpinionView.BOX and self.second_opinion is None:
            raise ValueError("second_opinion_view needs a second_opinion")
        if self.max_error is not None and self.calibration is None:
            raise ValueError("max_error needs a calibration (a file made by fo1 calibrate)")
        if len(self.bands) not in (0, 1, 3) or any(band < 1 for band in self.bands):
            raise ValueError(
                "bands are counted from 1, and are three (red, green, blue), such as 3,2,1, or one, such as 4"
            )
        if self.stretch is not None and "," in self.stretch:
            low, high = map(float, self.stretch.split(","))
            if not low < high <= 100:
                raise ValueError("stretch is two percentiles from 0 to 100, the lower one first: 2,98")
        if self.tile_side_px is not None and not LEAST_TILE_PX <= self.tile_side_px <= MOST_TILE_PX:
            raise ValueError(f"tile_px must be auto, or from {LEAST_TILE_PX} to {MOST_TILE_PX}")
        if self.tracker_name is not None and self.frame_every_s is not None:
            raise ValueError(
                "frame_every_s is for frames without a tracker: leave it out, or set tracker to none"
            )
        if self.tracker_name is None and self.track_every != 1:
            raise ValueError("track_every needs a tracker")
        if self.window is not None:
            parse_window(self.window)
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

    @property
    def actor_range(self) -> tuple[int, int]:
        """The smallest and the largest number of labelling actors."""
        low, _, high = self.actors.partition(":")
        return int(low), int(high or low)


NOT_IN_FINGERPRINT = frozenset(
    name for name, field in RunConfig.model_fields.items() if not setting_of(field).changes_rows
)
