"""The manifest of a dataset (written last: its presence means complete), and what a run in work keeps."""

from enum import StrEnum
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from schemas.sources import SourceCounts

SCHEMA_VERSION = 2
# Of a manifest whose lists lie in parts; the rows are of `SCHEMA_VERSION`.
IN_PARTS_VERSION = 3
FILES_PART, DUPLICATES_PART = "manifest/files-", "manifest/duplicates-"
# How often members that may be null were added to the version.
SCHEMA_REVISION = 1


class ManifestFile(BaseModel):
    """One Parquet file that counts. `path` is relative to the dataset's folder.

    `row_group_rows`: the number of rows of each row group, so that a reader of many files need not open them
    all before the first row; older versions did not write it. `schema_revision`: of a file of rows, the
    `SCHEMA_REVISION` it was written with. Members of a newer version are kept.
    """

    model_config = ConfigDict(extra="allow")

    path: str
    num_rows: int
    num_bytes: int
    sha256: str
    row_group_rows: list[int] | None = None
    schema_revision: int = 0

    @field_validator("path")
    @classmethod
    def _is_within(cls, path: str) -> str:
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"{path[:80]!a} lies outside the dataset's folder")
        return path

    @model_serializer(mode="wrap")
    def _leave_out_absent(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The hash of an older manifest stays the same."""
        document: dict[str, Any] = serialize(self)
        if self.row_group_rows is None:
            del document["row_group_rows"]
        if self.schema_revision == 0:
            del document["schema_revision"]
        return document


class ModelInfo(BaseModel):
    """The model that labelled. `licence` is an SPDX id or the name of its terms.

    `domain`: the only pictures that the model knows, in words; null if it states none.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    sha256: str
    licence: str | None = None
    domain: str | None = None

    @model_serializer(mode="wrap")
    def _leave_out_absent(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A model without a stated domain is written as in older manifests: their hash stays the same."""
        document: dict[str, Any] = serialize(self)
        return {name: value for name, value in document.items() if value is not None or name != "domain"}


class Counts(BaseModel):
    """Totals of a dataset. `captions`: of models and people; the last four: labels of rows by decision.

    `guessed_frames`: images whose boxes are in a frame that was guessed. `corpus_boxes`, `model_boxes`,
    `human_boxes`: regions by where their box came from; older versions did not count them. `videos`,
    `tracks`: rows of the two tables beside the images. `refused_opinions`: labels of which a second model
    gave no answer about a region. All seven are not written if 0.
    """

    model_config = ConfigDict(extra="forbid")

    images: int = 0
    rejected: int = 0
    regions: int = 0
    captions: int = 0
    groundings: int = 0
    counts: int = 0
    answers: int = 0
    guessed_frames: int = 0
    corpus_boxes: int = 0
    model_boxes: int = 0
    human_boxes: int = 0
    videos: int = 0
    tracks: int = 0
    refused_opinions: int = 0
    accepted: int = 0
    audit: int = 0
    unreviewed: int = 0
    review: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(**{k: getattr(self, k) + getattr(other, k) for k in Counts.model_fields})

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(**{k: getattr(self, k) - getattr(other, k) for k in Counts.model_fields})

    @model_serializer(mode="wrap")
    def _leave_out_zero(self, serialize: SerializerFunctionWrapHandler) -> dict[str, int]:
        """The hash of an older manifest stays the same."""
        document: dict[str, int] = serialize(self)
        return {name: value for name, value in document.items() if value or name not in _LEFT_OUT_IF_ZERO}

    @property
    def knows_boxes(self) -> bool:
        """Whether the version counted where its boxes came from."""
        return self.regions == self.corpus_boxes + self.model_boxes + self.human_boxes


_LEFT_OUT_IF_ZERO = frozenset(
    {"guessed_frames", "corpus_boxes", "model_boxes", "human_boxes", "videos", "tracks", "refused_opinions"}
)


class Duplicate(BaseModel):
    """An image found at several addresses; the row of `kept` has all of them in `uris`.

    Of a video, `image_id` is its `video_id`.
    """

    model_config = ConfigDict(extra="forbid")

    image_id: str
    kept: str
    dropped: list[str]


class Manifest(BaseModel):
    """`manifest.json` of a dataset version. Members of a newer minor version are kept as they are read.

    With more than 10,000 files or 100,000 duplicates its `schema_version` is 3, `files` names the parts of
    both lists (`manifest/files-*.jsonl`, `manifest/duplicates-*.jsonl`, an entry a line), and `duplicates` is
    empty.
    """

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    schema_version: int = Field(
        default=SCHEMA_VERSION, description="Version of the Arrow schema of the data files."
    )
    name: str = Field(description="Name of the dataset; all its versions share it.")
    version: str = Field(description="Version of the dataset, a whole number from 1.")
    parent: str | None = Field(
        default=None,
        description="Version that this one was made from, as `name@version`; null for the first.",
    )
    created_at: str = Field(description="When the version was completed: UTC, ISO 8601, to the second.")
    config: dict[str, Any] = Field(description="Resolved settings of the labelling run.")
    fingerprint: str = Field(
        description="SHA-256 (hex) over every setting, weight and listing that can change a row."
    )
    model: ModelInfo | None = Field(default=None, description="Model that labelled.")
    proposer: str | None = Field(default=None, description="Where the boxes came from.")
    calibration_sha256: str | None = Field(default=None, description="SHA-256 (hex) of the calibration file.")
    files: list[ManifestFile] = Field(description="The files of the version; no other file counts.")
    duplicates: list[Duplicate] = Field(default=[], description="Images that were found in several places.")
    counts: Counts = Field(description="Totals over all rows.")
    code_version: str = Field(description="Version of fo1-data that wrote the version.")

    fingerprint_entries: dict[str, Any] | None = Field(
        default=None, description="The document that `fingerprint` is the hash of, by setting."
    )
    routing: dict[str, Any] | None = Field(
        default=None,
        description="Routing settings and, under `rules`, the acceptance rule of each label kind.",
    )
    merged: dict[str, int] | None = Field(
        default=None,
        description="Totals of the last merge of corrections: by action, and of images and files.",
    )
    sources: list[SourceCounts] | None = Field(
        default=None,
        description="What each source of the corpus held, and what of it was attached and rejected.",
    )
    step: dict[str, Any] | None = Field(
        default=None,
        description="What made this version from its parent (`merge`, `route`, `publish`, `remove`).",
    )
    parent_sha256: str | None = Field(default=None, description="SHA-256 (hex) of the parent's manifest.")
    parent_address: str | None = Field(
        default=None, description="Folder or URL of the parent when this version was made."
    )

    @model_serializer(mode="wrap")
    def _leave_out_absent(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An optional member that is null is not written: the hash of an older manifest stays the same.

        For the same reason `counts.unreviewed` is not written if it is 0.
        """
        document: dict[str, Any] = serialize(self)
        if not self.counts.unreviewed:
            del document["counts"]["unreviewed"]
        return {name: value for name, value in document.items() if value is not None or name not in _OPTIONAL}


_OPTIONAL = frozenset(
    {"fingerprint_entries", "routing", "merged", "sources", "step", "parent_sha256", "parent_address"}
)


class ShardFile(BaseModel):
    """One Parquet file of one try. `path`: relative to the dataset's folder, until the dataset is sealed.

    `row_group_rows`, `schema_revision`: as in `ManifestFile`.
    """

    model_config = ConfigDict(extra="forbid")

    split: str | None
    path: str
    num_rows: int
    num_bytes: int
    sha256: str
    row_group_rows: list[int] | None = None
    schema_revision: int = 0


class ShardReport(BaseModel):
    """The result of one try of a shard: all that is sent back to the driver.

    `rejects`, `videos`, `tracks`: the files of its rejects, videos and tracks (`split` null), null if there
    are none. `seconds` is wall time from the shard's start to its last file. `row_bytes`: about how many
    bytes its rows take in memory; 0 if it was written by a version that did not count them.
    """

    model_config = ConfigDict(extra="ignore")

    shard_id: str
    index: int
    try_id: str
    files: list[ShardFile]
    rejects: ShardFile | None = None
    videos: ShardFile | None = None
    tracks: ShardFile | None = None
    counts: Counts
    seconds: float = 0.0
    row_bytes: int = 0

    @property
    def all_files(self) -> list[ShardFile]:
        """Every file of the try."""
        others = (self.rejects, self.videos, self.tracks)
        return [*self.files, *(file for file in others if file is not None)]


class FileLimits(BaseModel):
    """The largest data file of a run: `rows`, and `row_bytes` of rows as they are in memory."""

    model_config = ConfigDict(extra="forbid")

    rows: int = 50_000
    row_bytes: int = 256 * 2**20


class GroupReport(BaseModel):
    """The marker of a group of shards whose files were gathered: the files of the try that counts.

    The group holds the shards with the indices `first_index` to `last_index`. `rejects`, `videos`, `tracks`:
    as of a shard.
    """

    model_config = ConfigDict(extra="ignore")

    first_index: int
    last_index: int
    try_id: str
    files: list[ShardFile]
    rejects: ShardFile | None = None
    videos: ShardFile | None = None
    tracks: ShardFile | None = None


class ShardImage(BaseModel):
    """An image that has a row in a shard, so that equal images in two shards are found at the end.

    `annotations_sha256`: of what the corpus says of it, null if it says nothing.
    """

    model_config = ConfigDict(extra="ignore")

    image_id: str
    uris: list[str]
    annotations_sha256: str | None = None


class ShardMarker(ShardReport):
    """The marker of a shard that is done: the report of the try that counts, and the images it holds."""

    images: list[ShardImage]


class RunState(StrEnum):
    """The state of a labelling run in its progress file."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunProgress(BaseModel):
    """`.run/progress.json`: the progress of a run. Rates are averages over the run so far.

    `images` and `regions` include those labelled in shards that are still in work. `images_read_ahead`:
    read and decoded, and not labelled yet. `answers_in_work`: questions answered in the shards in work.
    Where images are labelled in tiles, a tile counts as an image: `tiles_total` of `images_total` are tiles.
    So does a video that is tracked: `videos_total` of them are videos; `tracks`: of finished ones,
    `frames_in_work`, `shots_in_work`: seen of the others.
    `job_id`: the service's job whose driver wrote it; null: a run from the command line.
    """

    model_config = ConfigDict(extra="ignore")

    state: RunState = RunState.RUNNING
    images: int = 0
    images_total: int | None = None
    tiles_total: int = 0
    videos_total: int = 0
    tracks: int = 0
    frames_in_work: int = 0
    shots_in_work: int = 0
    shards: int = 0
    shards_total: int | None = None
    rejected: int = 0
    regions: int = 0
    accepted: int = 0
    audit: int = 0
    unreviewed: int = 0
    review: int = 0
    images_read_ahead: int = 0
    answers_in_work: int = 0
    images_per_s: float | None = None
    regions_per_s: float | None = None
    seconds_left: float | None = None
    started_at: str | None = None
    updated_at: str | None = None
    job_id: str | None = None
    error: str | None = None
