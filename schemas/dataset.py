"""The manifest of a dataset: written last, its presence means complete."""

from typing import Any

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
    """What a dataset holds. `captions` counts caption labels; the last three count labels by decision."""

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
