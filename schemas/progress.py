"""The progress of a labelling run, as its folder says it."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


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
