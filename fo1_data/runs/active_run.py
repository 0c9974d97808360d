"""A run while it works: holds the lease, counts shards, reports progress, completes the dataset."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fo1_data.confidence.budget_pass import BudgetPass
from fo1_data.config import resolved
from fo1_data.corpus.source_lines import source_lines
from fo1_data.corpus.tracked_videos import is_tracked
from fo1_data.dataset.carried_history import carried_history
from fo1_data.dataset.done_shards import read_report
from fo1_data.dataset.lease import STALE_AFTER_S, Lease
from fo1_data.dataset.listing_record import record_listing
from fo1_data.dataset.reader import column_values, open_dataset
from fo1_data.dataset.weights_record import LoadedSource, record_weights
from fo1_data.dataset.writer import DatasetRun, open_run
from fo1_data.errors import ConfigError, Fo1Error, StorageError
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.work_done import WorkDone
from fo1_data.plurals import counted
from fo1_data.runs.fingerprint import content_sha256, run_fingerprint
from fo1_data.runs.out_place import asking_place
from fo1_data.runs.plan import PlannedRun
from fo1_data.runs.progress import ProgressMeter
from fo1_data.runs.routing import make_router, routes
from fo1_data.runs.video_steps import VideoSteps
from fo1_data.runs.watcher import Watcher
from schemas.corpus import Shard
from schemas.dataset import Counts, Manifest, ModelInfo
from schemas.jobs import RunConfig
from schemas.labels import Decision
from schemas.progress import RunProgress, RunState
from schemas.shards import FileLimits, ShardReport

PROGRESS_EVERY_S = 2.0
_TICK_EVERY_S = 0.5
# How long the store may fail the driver. Another driver takes the lease only when it is twice as old.
_PATIENCE_S = STALE_AFTER_S / 2


class ActiveRun:
    """A run that holds its lease. `todo` lists the shards that are left; `add` takes their reports.

    `groups`: which shards are gathered into which files.
    """

    def __init__(
        self, config: RunConfig, planned: PlannedRun, dataset: DatasetRun, lease: Lease, watcher: Watcher
    ) -> None:
        self.dataset = dataset
        self._config, self._planned, self._lease, self._watcher = config, planned, lease, watcher
        chosen = FileLimits(rows=config.file_rows, row_bytes=config.file_bytes)
        self.groups, limits = dataset.plan_groups(len(planned.shards), chosen)
        done = dataset.done_shards()
        self.todo = planned.shards.without(done)
        if limits != chosen:
            watcher.note(
                f"files keep the limits of the run's start: {counted(limits.rows, 'row')}, "
                f"{counted(limits.row_bytes, 'byte')}"
            )
        known = (
            report for report in done.reports() if planned.shards.num_images(report.shard_id) is not None
        )
        self.meter = ProgressMeter(
            planned.shards, known, len(planned.listing_rejects), planned.num_tiles, planned.num_videos
        )
        for line in source_lines(planned.sources):
            watcher.note(line)
        self._written_s = self._ticked_s = float("-inf")
        self._failing_since_s: float | None = None
        if num_done := self.meter.snapshot().shards:
            watcher.note(f"resuming: {num_done} of {counted(len(planned.shards), 'shard')} done")

    def add(self, report: ShardReport) -> None:
        """Count a finished shard and show the progress."""
        self.meter.add(report)
        self.meter.inside = WorkDone()
        self.tick()

    def add_inside(self, done: WorkDone) -> None:
        """Count what is done of the shards in work, in place of what was counted before."""
        self.meter.inside = done
        if time.monotonic() - self._ticked_s >= _TICK_EVERY_S:
            self.tick()

    def find_report(self, shard: Shard) -> ShardReport | None:
        """The report of a shard that is done in the dataset's folder, or None."""
        return read_report(self.dataset.store, self.dataset.write_options.run, shard.shard_id)

    def count_steps(self, shard: Shard) -> int:
        """How many shots of a shard that is a video are stored; 0 for any other."""
        if not is_tracked(shard.images[0]):
            return 0
        return len(VideoSteps(self.dataset.store, self.dataset.write_options.run, shard.shard_id).done())

    def tick(self) -> None:
        """Show the progress; every `PROGRESS_EVERY_S` also write it to the folder and check the lease."""
        self._ticked_s = time.monotonic()
        progress = self.meter.snapshot()
        self._watcher.show(progress)
        if time.monotonic() - self._written_s >= PROGRESS_EVERY_S:
            self._written_s = time.monotonic()
            self._write(progress)

    def _write(self, progress: RunProgress) -> None:
        """Check the lease and write the progress. A store that fails is tried again for `_PATIENCE_S`."""
        try:
            self._lease.check()
            self.dataset.write_progress(progress)
        except StorageError as error:
            if self._failing_since_s is None:
                self._failing_since_s = time.monotonic()
                self._watcher.note(f"{error}; the run goes on, and tries again for {_PATIENCE_S:g} s")
            elif time.monotonic() - self._failing_since_s > _PATIENCE_S:
                raise
        else:
            self._failing_since_s = None

    def finish(self, identity: LabellerIdentity) -> Manifest:
        """Complete the dataset and return its manifest. A review budget is spent here, over all rows."""
        routing, budget = self._routing(identity)
        parent = open_dataset(self._config.parent) if self._config.parent else None
        manifest = self.dataset.seal(
            name=self._config.name or Path(self._config.out.rstrip("/")).name,
            model=ModelInfo(
                name=identity.model_name,
                sha256=identity.model_sha256,
                licence=identity.model_licence,
                domain=identity.model_domain,
            ),
            proposer=identity.proposer_name,
            shard_ids=self._planned.shards.ids(),
            listing_rejects=self._planned.listing_rejects,
            sources=self._planned.sources,
            calibration_sha256=content_sha256(self._config.calibration),
            parent=parent.manifest if parent else None,
            lease=self._lease,
            decider=budget,
            routing=routing,
            history=carried_history(parent) if parent else None,
        )
        self.close(RunState.SUCCEEDED, decided=manifest.counts if budget is not None else None)
        return manifest

    def _routing(self, identity: LabellerIdentity) -> tuple[dict[str, Any] | None, BudgetPass | None]:
        """The routing as the manifest records it, and the pass over all rows that a review budget needs."""
        if not routes(self._config):
            return None, None
        router, warning = make_router(self._config, identity)
        if warning is not None:
            self._watcher.note(warning)
        budget = BudgetPass(router, self._num_reviewed()) if self._config.review_budget is not None else None
        return router.manifest_entry(warning), budget

    def _num_reviewed(self) -> int:
        """How much of the review budget the version spent whose rejects are tried again."""
        replayed = self.dataset.replayed
        if replayed is None:
            return 0
        if not self._config.whole_images:
            return replayed.counts.review
        rows = column_values(self.dataset.store, replayed, ["decision"])
        return sum(row["decision"] == Decision.REVIEW for row in rows)

    def close(self, state: RunState, error: str | None = None, decided: Counts | None = None) -> None:
        """Write the last progress to the folder, if its store still accepts writes.

        decided: counts of the dataset if decisions were made after the shards.
        """
        progress = self.meter.snapshot(state, error)
        if decided is not None:
            by_decision = decided.model_dump(include={"accepted", "audit", "unreviewed", "review"})
            progress = progress.model_copy(update=by_decision)
        self._watcher.show(progress)
        with suppress(StorageError, OSError):
            self.dataset.write_progress(progress)


def open_planned(
    config: RunConfig, planned: PlannedRun, identity: LabellerIdentity, versions: Mapping[str, str]
) -> DatasetRun:
    """Open the dataset's folder for this run.

    versions: of what only loading identifies (`ModelFiles.versions`), found before it was loaded.
    Raises FingerprintError if it was begun under other settings, CalibrationError if the calibration was
    made for other labels, ConfigError if the folder cannot be written, StorageError if its store fails.
    """
    if routes(config):
        make_router(config, identity)
    fingerprint = run_fingerprint(config, identity, planned.corpus)
    try:
        with asking_place(config.out):
            run = open_run(
                config.out, fingerprint, resolved(config, planned.is_hidden), replay=config.replay_rejects
            )
            if not config.replay_rejects:
                record_listing(run.store, planned.shards.entries)
            if run.manifest is None:
                record_weights(run.store, _loaded(identity, versions))
            return run
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"cannot write the dataset to {config.out}: {error}") from None


def _loaded(identity: LabellerIdentity, versions: Mapping[str, str]) -> dict[str, LoadedSource]:
    names = {
        "model": (identity.model_name, identity.model_sha256),
        "proposals": (identity.proposer_name, identity.proposer_sha256),
    }
    return {
        key: LoadedSource(version=version, name=names[key][0], sha256=names[key][1])
        for key, version in versions.items()
    }


@contextmanager
def work_on(
    config: RunConfig, planned: PlannedRun, dataset: DatasetRun, watcher: Watcher
) -> Iterator[ActiveRun]:
    """Hold the lease during a `with` block. What ends the block early is written to the progress file."""
    with dataset.lease() as lease:
        run = ActiveRun(config, planned, dataset, lease, watcher)
        try:
            yield run
        except Fo1Error as error:
            run.close(RunState.FAILED, str(error))
            raise
        except KeyboardInterrupt:
            run.close(RunState.CANCELLED, "stopped; the same command resumes the run")
            raise
        except BaseException as error:
            run.close(RunState.FAILED, f"{type(error).__name__}: {error}")
            raise
