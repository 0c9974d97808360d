"""How far a run is: counts of finished shards and of those in work, rates, and the time left in seconds.

Rates cover the work of this process alone, so that a resumed run does not count what was done before.
Displays nothing; `fo1_data.cli.progress_lines` does.
"""

import time
from collections.abc import Iterable
from datetime import UTC, datetime

from fo1_data.corpus.shards import ShardPlan
from fo1_data.labelling.work_done import WorkDone
from schemas.dataset import Counts
from schemas.progress import RunProgress, RunState
from schemas.shards import ShardReport


class ProgressMeter:
    """Adds up shard reports. The clock of the rates starts with `start_clock`, once a labeller is ready.

    tiles_total, videos_total: how many entries of the shards are tiles of images, and tracked videos.
    """

    def __init__(
        self,
        shards: ShardPlan,
        done: Iterable[ShardReport],
        listing_rejects: int = 0,
        tiles_total: int = 0,
        videos_total: int = 0,
    ) -> None:
        self._shards = shards
        self._images_total = len(shards.entries)
        self._tiles_total, self._videos_total = tiles_total, videos_total
        self._listing_rejects = listing_rejects
        self._counts = Counts()
        self._images_done = self._shards_done = self._own_images = self._own_regions = 0
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._clock_s: float | None = None
        # What is done of the shards in work. It is lost if their workers are.
        self.inside = WorkDone()
        for report in done:
            self._add(report)

    def start_clock(self) -> None:
        """Start to measure rates; later calls change nothing."""
        if self._clock_s is None:
            self._clock_s = time.monotonic()

    def add(self, report: ShardReport) -> None:
        """Count a shard that this process finished."""
        self._add(report)
        self._own_images += self._shards.num_images(report.shard_id) or 0
        self._own_regions += report.counts.regions

    def snapshot(self, state: RunState = RunState.RUNNING, error: str | None = None) -> RunProgress:
        """The progress now."""
        seconds = time.monotonic() - self._clock_s if self._clock_s is not None else 0.0
        own_images = self._own_images + self.inside.images
        images_per_s = own_images / seconds if own_images and seconds else None
        images = min(self._images_total, self._images_done + self.inside.images)
        left = (self._images_total - images) / images_per_s if images_per_s else None
        return RunProgress(
            state=state,
            images=images,
            images_total=self._images_total,
            tiles_total=self._tiles_total,
            videos_total=self._videos_total,
            tracks=self._counts.tracks,
            frames_in_work=self.inside.frames,
            shots_in_work=self.inside.shots,
            shards=self._shards_done,
            shards_total=len(self._shards),
            rejected=self._counts.rejected + self._listing_rejects,
            regions=self._counts.regions + self.inside.regions,
            accepted=self._counts.accepted,
            audit=self._counts.audit,
            unreviewed=self._counts.unreviewed,
            review=self._counts.review,
            images_read_ahead=self.inside.images_read - self.inside.images,
            answers_in_work=self.inside.answers,
            images_per_s=images_per_s,
            regions_per_s=(self._own_regions + self.inside.regions) / seconds if images_per_s else None,
            seconds_left=left,
            started_at=self._started_at,
            error=error,
        )

    def _add(self, report: ShardReport) -> None:
        self._counts += report.counts
        num_images = self._shards.num_images(report.shard_id)
        self._images_done += num_images or 0
        self._shards_done += num_images is not None
