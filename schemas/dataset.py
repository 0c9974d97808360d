"""The manifest of a dataset (written last: its presence means complete), and what a run in work keeps."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1


class ManifestFile(BaseModel):
    """One Parquet file that counts. `path` is relative to the dataset's folder."""

    model_config = ConfigDict(extra="forbid")

    path: str
    num_rows: int
    num_bytes: int
    sha256: str


class ModelInfo(BaseModel):
    """The model that labelled. `licence` is an SPDX id or the name of its terms."""

    model_config = ConfigDict(extra="forbid")

    name: str
    sha256: str
    licence: str | None = None


class Counts(BaseModel):
    """What a dataset holds. `captions`: of a model or a person; the last three: labels by decision."""

    model_config = ConfigDict(extra="forbid")

    images: int = 0
    rejected: int = 0
    regions: int = 0
    captions: int = 0
    groundings: int = 0
    counts: int = 0
    answers: int = 0
    accepted: int = 0
    audit: int = 0
    review: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(**{k: v + getattr(other, k) for k, v in self.model_dump().items()})

    def __sub__(self, other: "Counts") -> "Counts":
        return Counts(**{k: v - getattr(other, k) for k, v in self.model_dump().items()})


class Duplicate(BaseModel):
    """Bytes found in several places; the row of `kept` carries every address in `uris`."""

    model_config = ConfigDict(extra="forbid")

    image_id: str
    kept: str
    dropped: list[str]


class Manifest(BaseModel):
    """`manifest.json`. `fingerprint` covers every setting, weight and listing that can change a row."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    schema_version: int = SCHEMA_VERSION
    name: str
    version: str
    parent: str | None = None
    created_at: str
    config: dict[str, Any]
    fingerprint: str
    model: ModelInfo | None = None
    proposer: str | None = None
    calibration_sha256: str | None = None
    files: list[ManifestFile]
    duplicates: list[Duplicate] = []
    counts: Counts
    code_version: str


class ShardFile(BaseModel):
    """One Parquet file of one try, where it lies until the dataset is finished (relative to its folder)."""

    model_config = ConfigDict(extra="forbid")

    split: str | None
    path: str
    num_rows: int
    num_bytes: int
    sha256: str


class ShardReport(BaseModel):
    """What one try of a shard made: all that travels back to the driver.

    `rejects` is the file of its rejects (`split` null), null where there are none. `seconds` is
    wall time from the shard's start to its last file.
    """

    model_config = ConfigDict(extra="ignore")

    shard_id: str
    index: int
    try_id: str
    files: list[ShardFile]
    rejects: ShardFile | None = None
    counts: Counts
    seconds: float = 0.0


class ShardImage(BaseModel):
    """An image that a shard made a row of, so that equal bytes in two shards are found at the end."""

    model_config = ConfigDict(extra="ignore")

    image_id: str
    uris: list[str]


class ShardMarker(ShardReport):
    """The marker of a shard that is done: the report of the try that counts, and the images it holds."""

    images: list[ShardImage]


class RunProgress(BaseModel):
    """`.run/progress.json`: how far a run is, for those who watch it. Rates are over the run so far."""

    model_config = ConfigDict(extra="ignore")

    state: Literal["running", "succeeded", "failed", "cancelled"] = "running"
    images: int = 0
    images_total: int | None = None
    shards: int = 0
    shards_total: int | None = None
    rejected: int = 0
    regions: int = 0
    accepted: int = 0
    audit: int = 0
    review: int = 0
    images_per_s: float | None = None
    regions_per_s: float | None = None
    seconds_left: float | None = None
    started_at: str | None = None
    updated_at: str | None = None
    error: str | None = None
