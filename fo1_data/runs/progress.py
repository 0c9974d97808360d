"""How far a run is: counts added up shard by shard, rates and the time left.

Rates are over this process' own work, so that a resumed run does not boast of what was there.
Shows nothing; `fo1_data.cli.progress_lines` does.
"""

import time
from collections.abc import Iterable
from datetime import UTC, datetime

from schemas.corpus import Shard
from schemas.dataset import Counts, RunProgress, RunState, ShardReport


class ProgressMeter:
    """Adds up shard reports; the clock of the rates starts with `start_clock` (a labeller is ready)."""

    def __init__(
        self, shards: Iterable[Shard], done: Iterable[ShardReport], listing_rejects: int = 0
    ) -> None:
        self._sizes = {shard.shard_id: len(shard.images) for shard in shards}
        self._listing_rejects = listing_rejects
        self._counts = Counts()
        self._images_done = self._shards_done = self._images_here = self._regions_here = 0
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._clock_s: float | None = None
        for report in done:
            self._add(report)

    def start_clock(self) -> None:
        """Begin to measure rates, once."""
        if self._clock_s is None:
            self._clock_s = time.monotonic()

    def add(self, report: ShardReport) -> None:
        """A shard was finished by this run."""
        self._add(report)
        self._images_here += self._sizes.get(report.shard_id, 0)
        self._regions_here += report.counts.regions

    def snapshot(self, state: RunState = RunState.RUNNING, error: str | None = None) -> RunProgress:
        """The figures now."""
        seconds = time.monotonic() - self._clock_s if self._clock_s is not None else 0.0
        images_per_s = self._images_here / seconds if self._images_here and seconds else None
        total = sum(self._sizes.values())
        left = (total - self._images_done) / images_per_s if images_per_s else None
        return RunProgress(
            state=state,
            images=self._images_done,
            images_total=total,
            shards=self._shards_done,
            shards_total=len(self._sizes),
            rejected=self._counts.rejected + self._listing_rejects,
            regions=self._counts.regions,
            accepted=self._counts.accepted,
            audit=self._counts.audit,
            review=self._counts.review,
            images_per_s=images_per_s,
            regions_per_s=self._regions_here / seconds if images_per_s else None,
            seconds_left=left,
            started_at=self._started_at,
            error=error,
        )

    def _add(self, report: ShardReport) -> None:
        self._counts += report.counts
        self._images_done += self._sizes.get(report.shard_id, 0)
        self._shards_done += report.shard_id in self._sizes
