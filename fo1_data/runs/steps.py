"""The steps of a labelling run that do not depend on where its labellers are.

List and plan the corpus, open the dataset under the run's fingerprint, skip what is done, keep the
lease and the progress file, write the manifest last. Starts no labeller, knows no Ray.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fo1_data.confidence.budget_pass import BudgetPass
from fo1_data.confidence.calibration_file import read_calibration
from fo1_data.config import resolved
from fo1_data.corpus.readers import read_corpus
from fo1_data.corpus.shards import listing_sha256, plan_shards
from fo1_data.dataset.layout import marker
from fo1_data.dataset.lease import Lease, refuse_held
from fo1_data.dataset.manifest import find_manifest
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.replay import replay_entries
from fo1_data.dataset.shard_files import read_marker
from fo1_data.dataset.writer import DatasetRun, open_run
from fo1_data.errors import ConfigError, CorpusError, Fo1Error, StorageError
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.word_lists import read_phrases, refuse_unknown_words
from fo1_data.runs.fingerprint import content_sha256, run_fingerprint
from fo1_data.runs.progress import ProgressMeter
from fo1_data.runs.routing import make_router, routes
from fo1_data.runs.watcher import Watcher
from fo1_data.storage.store import open_store
from schemas.corpus import CorpusImage, Shard
from schemas.dataset import Counts, Manifest, ModelInfo, RunState, ShardReport
from schemas.images import Reject
from schemas.jobs import RunConfig

PROGRESS_EVERY_S = 2.0


@dataclass(frozen=True)
class PlannedRun:
    """What a run is to label: its shards, and what could not even be listed."""

    shards: list[Shard]
    listing_rejects: list[Reject] = field(default_factory=list)

    @property
    def num_images(self) -> int:
        return sum(len(shard.images) for shard in self.shards)


def plan_run(config: RunConfig) -> PlannedRun:
    """List the corpus (or the rejects of `out`, for a replay) and cut it into shards.

    What can be told before a labeller is started is told here: CorpusError where there is nothing to
    label, ConfigError where `out` cannot be written or a setting cannot be served, LeaseError where
    another driver is at work.
    """
    _refuse_unwritable(config.out)
    refuse_held(open_store(config.out))
    if config.replay_rejects:
        return PlannedRun(plan_shards(replay_entries(config.out), config.shard_size))
    return list_corpus(config)


def list_corpus(config: RunConfig) -> PlannedRun:
    """List the corpus and cut it into shards. Raises CorpusError, and ConfigError for a setting."""
    refuse_unknown_words(config)
    read_phrases(config.phrases)
    if config.calibration is not None:
        read_calibration(config.calibration)
    entries: list[CorpusImage] = []
    rejects: list[Reject] = []
    for listed in read_corpus(config.corpus, config.limit, config.frame_every_s):
        if isinstance(listed, Reject):
            rejects.append(listed)
        else:
            entries.append(listed)
    if not entries and not rejects:
        raise CorpusError(f"{config.corpus} holds no images")
    return PlannedRun(plan_shards(entries, config.shard_size), rejects)


class RunInWork:
    """A run that holds its lease. `todo` are the shards left; `add` takes their reports."""

    def __init__(
        self, config: RunConfig, planned: PlannedRun, run: DatasetRun, lease: Lease, watcher: Watcher
    ) -> None:
        self.run = run
        self._config, self._planned, self._lease, self._watcher = config, planned, lease, watcher
        done = run.done_shards()
        self.todo = [shard for shard in planned.shards if shard.shard_id not in done]
        ours = [done[shard.shard_id] for shard in planned.shards if shard.shard_id in done]
        self.meter = ProgressMeter(planned.shards, ours, len(planned.listing_rejects))
        self._written_s = float("-inf")
        if ours:
            watcher.note(f"resuming: {len(ours)} of {len(planned.shards)} shards are done")

    def add(self, report: ShardReport) -> None:
        """Count a shard that was finished, and say so."""
        self.meter.add(report)
        self.tick()

    def find_report(self, shard: Shard) -> ShardReport | None:
        """The report of a shard that is done in the folder, None where it is not."""
        return read_marker(self.run.store, marker(self.run.write_options.run, shard.shard_id))

    def tick(self) -> None:
        """Show the figures; now and then keep them in the folder and see that the lease still holds."""
        progress = self.meter.snapshot()
        self._watcher.show(progress)
        if time.monotonic() - self._written_s >= PROGRESS_EVERY_S:
            self._written_s = time.monotonic()
            self._lease.check()
            self.run.write_progress(progress)

    def finish(self, identity: LabellerIdentity) -> Manifest:
        """Write the manifest: the dataset is complete. A review budget is spent here, over all rows."""
        routing, budget = self._routing(identity)
        parent = open_dataset(self._config.parent) if self._config.parent else None
        manifest = self.run.seal(
            name=self._config.name or Path(self._config.out.rstrip("/")).name,
            model=ModelInfo(
                name=identity.model_name, sha256=identity.model_sha256, licence=identity.model_licence
            ),
            proposer=identity.proposer_name,
            shard_ids=[shard.shard_id for shard in self._planned.shards],
            listing_rejects=self._planned.listing_rejects,
            calibration_sha256=content_sha256(self._config.calibration),
            parent=parent.manifest if parent else None,
            lease=self._lease,
            decider=budget,
            routing=routing,
            history=parent.history() if parent else None,
        )
        self.close(RunState.SUCCEEDED, decided=manifest.counts if budget is not None else None)
        return manifest

    def _routing(self, identity: LabellerIdentity) -> tuple[dict[str, Any] | None, BudgetPass | None]:
        """What the manifest says of the routing, and who decides where that needs all rows."""
        if not routes(self._config):
            return None, None
        router, warning = make_router(self._config, identity)
        if warning is not None:
            self._watcher.note(warning)
        already = self.run.replayed.counts.review if self.run.replayed is not None else 0
        budget = BudgetPass(router, already) if self._config.review_budget is not None else None
        return router.manifest_entry(warning), budget

    def close(self, state: RunState, error: str | None = None, decided: Counts | None = None) -> None:
        """Leave the last figures in the folder, as far as its store still takes them.

        `decided`: counts of the dataset where decisions were made after the shards.
        """
        progress = self.meter.snapshot(state, error)
        if decided is not None:
            by_decision = decided.model_dump(include={"accepted", "audit", "review"})
            progress = progress.model_copy(update=by_decision)
        self._watcher.show(progress)
        with suppress(StorageError, OSError):
            self.run.write_progress(progress)


def open_planned(config: RunConfig, planned: PlannedRun, identity: LabellerIdentity) -> DatasetRun:
    """The dataset's folder, opened for this run.

    Raises FingerprintError where it was begun as another, CalibrationError where its calibration is of
    other labels.
    """
    if routes(config):
        make_router(config, identity)
    fingerprint = run_fingerprint(config, identity, listing_sha256(planned.shards))
    try:
        return open_run(config.out, fingerprint, resolved(config), replay=config.replay_rejects)
    except (StorageError, FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"cannot write the dataset to {config.out}: {error}") from None


@contextmanager
def work_on(config: RunConfig, planned: PlannedRun, run: DatasetRun, watcher: Watcher) -> Iterator[RunInWork]:
    """Hold the lease for the time of a `with` block; what ends it early is left in the progress file."""
    with run.lease() as lease:
        work = RunInWork(config, planned, run, lease, watcher)
        try:
            yield work
        except Fo1Error as error:
            work.close(RunState.FAILED, str(error))
            raise
        except KeyboardInterrupt:
            work.close(RunState.CANCELLED, "stopped; the same command goes on")
            raise
        except BaseException as error:
            work.close(RunState.FAILED, f"{type(error).__name__}: {error}")
            raise


def nothing_to_replay(config: RunConfig, planned: PlannedRun) -> Manifest | None:
    """The manifest of a dataset that has no reject to try again; None where there is work."""
    if not config.replay_rejects or planned.shards:
        return None
    return find_manifest(open_store(config.out))


def _refuse_unwritable(out: str) -> None:
    local = open_store(out).local_path()
    if local is None:
        return
    existing = next(folder for folder in (local, *local.parents) if folder.exists())
    if not existing.is_dir():
        raise ConfigError(f"--out {out}: {existing} is a file, not a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(f"--out {out}: {existing} cannot be written to")
