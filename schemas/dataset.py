"""The manifest of a dataset, written last: its presence means complete."""

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

    `guessed_frames`: images whose boxes are in a frame that was guessed. `further_pages`: images of files
    with more pages or frames, which were not read. `corpus_boxes`, `model_boxes`,
    `human_boxes`: regions by where their box came from; older versions did not count them. `videos`,
    `tracks`: rows of the two tables beside the images. `refused_opinions`: labels of which a second model
    gave no answer about a region. All eight are not written if 0.
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
    further_pages: int = 0
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
    {
        "guessed_frames",
        "further_pages",
        "corpus_boxes",
        "model_boxes",
        "human_boxes",
        "videos",
        "tracks",
        "refused_opinions",
    }
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
