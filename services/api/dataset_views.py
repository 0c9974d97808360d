"""The bodies of requests and answers under `/v1/datasets`, except those of samples."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from services.database.models import DatasetRecord, DatasetState


class DatasetRequest(BaseModel):
    """A finished dataset made elsewhere: its folder, within the storage roots."""

    model_config = ConfigDict(extra="forbid")

    address: str = Field(min_length=1, max_length=4000)


class DatasetCounts(BaseModel):
    """Totals of a dataset, or of a run so far. What an older version did not count is 0."""

    model_config = ConfigDict(extra="allow")

    images: int = Field(default=0, description="Images labelled.")
    rejected: int = Field(default=0, description="Inputs that could not be used.")
    regions: int = Field(default=0, description="Boxes.")
    captions: int = Field(default=0, description="Captions of models and people.")
    groundings: int = Field(default=0, description="Phrases with the regions that they name.")
    counts: int = Field(default=0, description="Numbers of instances of a phrase.")
    answers: int = Field(default=0, description="Answers to questions.")
    guessed_frames: int = Field(default=0, description="Images whose boxes are in a frame that was guessed.")
    further_pages: int = Field(
        default=0, description="Images of files with more pages or frames, which were not read."
    )
    corpus_boxes: int = Field(default=0, description="Regions whose box came with the corpus.")
    model_boxes: int = Field(default=0, description="Regions whose box a model proposed.")
    human_boxes: int = Field(default=0, description="Regions whose box a person drew or moved.")
    refused_opinions: int = Field(
        default=0, description="Labels of which a second model gave no answer about a region."
    )
    accepted: int = Field(default=0, description="Labels accepted without review.")
    audit: int = Field(default=0, description="Accepted labels that are drawn for the audit.")
    unreviewed: int = Field(default=0, description="Labels without a calibration, and that nobody decided.")
    review: int = Field(default=0, description="Labels for people to review.")


class DatasetView(BaseModel):
    """A dataset. All its samples can be listed once `state` is `ready`, until then `num_samples` of them.

    `error`: why it could not be indexed; with the state `ready`, why it could not be indexed again: its
    samples are those that were indexed before. Files that cannot be reached are tried again every minute.
    `created_by`: the id of the key that registered it or started its job.
    """

    id: str
    name: str
    version: str
    parent: str | None
    address: str
    state: DatasetState
    error: str | None
    num_samples: int
    counts: DatasetCounts
    created_by: str | None
    created_at: datetime

    @classmethod
    def of(cls, record: DatasetRecord) -> "DatasetView":
        """Return the view of a row."""
        names = [name for name in DatasetView.model_fields if name != "counts"]
        counts = DatasetCounts.model_validate(record.manifest.get("counts", {}))
        return DatasetView(counts=counts, **{name: getattr(record, name) for name in names})


class DatasetDetail(DatasetView):
    """A dataset with its `manifest.json`, as it is stored."""

    manifest: dict[str, Any]  # documented as `schemas.dataset.Manifest` (`services.api.documented`)
