"""A run that writes a dataset: opened or resumed, written shard by shard, sealed once.

    run = open_run(out, fingerprint, config)
    if run.manifest is None:
        with run.lease() as lease:
            done = run.done_shards()
            run.write_shard(shard, rows, rejects, try_id)       # or `write_shard` in a worker
            run.gather(group, try_id)                           # for the groups of `plan_groups`
            run.seal(name=..., model=..., lease=lease)

The folder holds the whole state: markers say which shards are done, the fingerprint with which settings
they were made, the manifest that the dataset is complete. Does not know how the work is distributed.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fo1_data.dataset import layout
from fo1_data.dataset.begun_run import begin_or_resume, read_run_file
from fo1_data.dataset.checked_json import with_checksum
from fo1_data.dataset.done_shards import DoneShards, gone_file
from fo1_data.dataset.duplicates import find_duplicates
from fo1_data.dataset.gather import gather_group, read_groups
from fo1_data.dataset.history import CorrectionHistory, is_history_file
from fo1_data.dataset.lease import STALE_AFTER_S, Lease
from fo1_data.dataset.manifest import (
    dump_json,
    find_manifest,
    fingerprint_digest,
    next_version,
    now,
)
from fo1_data.dataset.placed_tracks import place_tracks
from fo1_data.dataset.prefetch import map_ahead
from fo1_data.dataset.replay import image_uris, keep_version, kept_rejects, replay_folder
from fo1_data.dataset.rows import table_to_rejects
from fo1_data.dataset.seal import seal_version
from fo1_data.dataset.shard_files import WriteOptions, write_shard
from fo1_data.dataset.shard_groups import GroupPlan, ShardGroup
from fo1_data.dataset.shard_placement import NUM_MOVERS, Decider, PlacedFiles, place_all, plan_placement
from fo1_data.dataset.table_files import read_tables
from fo1_data.errors import DatasetError
from fo1_data.plurals import counted
from fo1_data.storage.store import UNFINISHED, Store, open_store
from schemas.corpus import Shard
from schemas.dataset import Counts, Manifest, ManifestFile, ModelInfo
from schemas.images import ImageRow, Reject
from schemas.progress import RunProgress
from schemas.shards import FileLimits, GroupReport, ShardFile, ShardReport
from schemas.sources import SourceCounts
from schemas.tracks import Track, VideoRow

__all__ = ["DatasetRun", "WriteOptions", "open_run", "write_shard"]


def open_run(
    out: str, fingerprint: Mapping[str, Any], config: Mapping[str, Any], *, replay: bool = False
) -> "DatasetRun":
    """Begin a run in the folder or URL `out`, or resume the run that is there.

    `fingerprint` (flat, of JSON values) covers everything that can change a row; `config`: the settings
    for the manifest. For a finished dataset `manifest` is set and nothing is written, unless `replay`:
    then the run adds files to it and makes its next version.
    Raises FingerprintError, naming every difference, if the folder was begun under another fingerprint,
    DatasetError if it holds something else (or, for a replay, no finished dataset).
    """
    store = open_store(out)
    manifest = find_manifest(store)
    if manifest is None and replay:
        raise DatasetError(f"{store.url} is no finished dataset: there are no rejects to try again")
    begun = begin_or_resume(store, fingerprint, manifest, replay=replay)
    return DatasetRun(store, begun, config, manifest, replay)


class DatasetRun:
    """The folder of a run. `manifest` is set if the dataset is complete.

    In a replay, `replayed` is the version whose rejects are tried again, and `manifest` is None until
    the next version is complete.
    """

    def __init__(
        self,
        store: Store,
        fingerprint: Mapping[str, Any],
        config: Mapping[str, Any],
        manifest: Manifest | None,
        replay: bool,
    ) -> None:
        self.store = store
        self.fingerprint = dict(fingerprint)
        self.config = dict(config)
        self.replayed = manifest if replay else None
        self.manifest = None if replay else manifest
        self.write_options = WriteOptions()
        if self.replayed is not None:
            used = [place[1] for f in self.replayed.files if (place := layout.split_and_index(f.path))]
            folder = replay_folder(next_version(self.replayed.version))
            self.write_options = WriteOptions(run=folder, first_index=max(used, default=-1) + 1)
        self._done = DoneShards(store, self.write_options.run)

    @property
    def out(self) -> str:
        """The dataset's address, as workers are to open it."""
        return self.store.url

    def lease(self, stale_after_s: float = STALE_AFTER_S) -> Lease:
        """Keep other drivers out during a `with` block. Raises LeaseError if another driver holds it."""
        return Lease(self.store, stale_after_s)

    def done_shards(self) -> DoneShards:
        """The shards that were done at the first call or later: reports by shard id, in the order of their
        index."""
        self._done.load()
        return self._done

    def write_shard(
        self,
        shard: Shard,
        rows: Sequence[ImageRow],
        rejects: Sequence[Reject],
        try_id: str,
        seconds: float = 0.0,
        tracks: Sequence[Track] = (),
        videos: Sequence[VideoRow] = (),
    ) -> ShardReport:
        """`write_shard` into this run, in this process."""
        options = self.write_options
        return write_shard(self.out, shard, rows, rejects, try_id, options, seconds, tracks, videos)

    def plan_groups(self, num_shards: int, limits: FileLimits) -> tuple[GroupPlan, FileLimits]:
        """Which of the run's shards are gathered into which files, those done so far included.

        Returns the limits with it: those of the first driver of the run, which a resumed run keeps.
        """
        run, first = self.write_options.run, self.write_options.first_index
        path = layout.file_limits(run)
        self.store.create_exclusive(path, with_checksum(limits.model_dump_json().encode()))
        limits = read_run_file(self.store, path, FileLimits.model_validate_json)
        plan = GroupPlan(range(first, first + num_shards), limits, read_groups(self.store, run))
        self._done.update()
        for report in self._done.reports():
            plan.add(report)
        return plan, limits

    def gather(self, group: ShardGroup, try_id: str) -> GroupReport:
        """`gather_group` of this run, in this process."""
        return gather_group(self.store, self.write_options.run, group, try_id)

    def write_progress(self, progress: RunProgress) -> None:
        """Replace `.run/progress.json`, stamped with the time and the job of the service, if it is one."""
        stamped = progress.model_copy(update={"updated_at": now(), "job_id": os.environ.get("FO1_JOB_ID")})
        self.store.write_bytes(layout.PROGRESS, dump_json(stamped.model_dump(mode="json")))

    def seal(
        self,
        name: str,
        model: ModelInfo | None = None,
        proposer: str | None = None,
        *,
        shard_ids: Iterable[str] | None = None,
        listing_rejects: Sequence[Reject] = (),
        sources: Sequence[SourceCounts] = (),
        calibration_sha256: str | None = None,
        parent: Manifest | None = None,
        lease: Lease | None = None,
        decider: Decider | None = None,
        routing: Mapping[str, Any] | None = None,
        history: CorrectionHistory | None = None,
    ) -> Manifest:
        """Make the dataset of the shards that are done and return its manifest. Safe to repeat.

        `shard_ids`: all shards of the plan. `listing_rejects`: the rejects of the corpus' listing.
        `sources`: the account of its sources. `parent`: the version that rows were carried over from.
        `decider`: decides rows if that needs all of them. `routing`: the manifest's entry on it. `history`:
        the corrections of `parent`; those of images that are in this dataset are kept.

        If another driver ended the run meanwhile, its manifest is returned and nothing more is written.
        Raises DatasetError if a shard of `shard_ids` is not done, LeaseError if `lease` was lost.
        """
        self._done.update()
        self._refuse_undone(shard_ids or ())
        present = self._done.among(image_uris(self.store, self.replayed)) if self.replayed else {}
        duplicates = find_duplicates(self._done.repeated_images(present), present)
        files, counts = list(_data_files(self.replayed)), _counts(self.replayed)
        groups = read_groups(self.store, self.write_options.run)
        planned = plan_placement(self._done.reports(), groups, duplicates.changes)
        for placed_files, placed_counts in place_all(self.store, planned, decider):
            files += placed_files
            counts += placed_counts
        rejects = [*listing_rejects, *self._rejects(planned), *duplicates.rejects]
        if lease is not None:
            lease.check()
        if (newer := self._newer_manifest()) is not None:
            self.manifest = newer
            return newer
        replayed = keep_version(self.store, self.replayed) if self.replayed is not None else None
        if replayed is not None:
            files += [file for file in replayed.files if is_history_file(file.path)]
            history = None
        elif history is not None:
            history = history.only(self._done.among((name, None) for name in history.ids()).__contains__)
        tracks = place_tracks(self.store, planned, replayed)
        files += tracks.files
        source = replayed or parent
        draft = Manifest(
            name=name,
            version=next_version(source.version) if source else "1",
            created_at=now(),
            config=self.config,
            fingerprint=fingerprint_digest(self.fingerprint),
            fingerprint_entries=self.fingerprint,
            model=model,
            proposer=proposer,
            calibration_sha256=calibration_sha256,
            files=files,
            duplicates=[*(replayed.duplicates if replayed else []), *duplicates.listed, *tracks.duplicates],
            counts=counts,
            code_version=layout.code_version(),
            routing=dict(routing) if routing else None,
            sources=list(sources) or (replayed.sources if replayed is not None else None),
        )
        self.manifest = seal_version(
            self.store, draft, rejects, history, source, replaces=replayed is not None
        )
        clear_tries(self.store, self.write_options.run)
        return self.manifest

    def _refuse_undone(self, shard_ids: Iterable[str]) -> None:
        missing = sorted(shard_id for shard_id in shard_ids if shard_id not in self._done)
        if missing:
            raise DatasetError(
                f"{self.out}: {counted(len(missing), 'shard')} not done, {missing[0]} first: run again"
            )

    def _newer_manifest(self) -> Manifest | None:
        """The manifest of a driver that ended this run while this one stood still."""
        found = find_manifest(self.store)
        begun_from = self.replayed.version if self.replayed is not None else None
        return found if found is not None and found.version != begun_from else None

    def _rejects(self, planned: Sequence[PlacedFiles]) -> list[Reject]:
        kept = kept_rejects(self.store, self.replayed) if self.replayed else []
        files = [placed.tables[layout.REJECTS].file for placed in planned if layout.REJECTS in placed.tables]
        loaded = map_ahead(self._rejects_of, files, NUM_MOVERS)
        return kept + [reject for rejects in loaded for reject in rejects]

    def _rejects_of(self, file: ShardFile) -> list[Reject]:
        try:
            tables = list(read_tables(self.store, [file]))
        except FileNotFoundError as error:
            if self._newer_manifest() is None:  # else its driver has deleted what it needs no more
                raise gone_file(self.store, file.path) from error
            return []
        return [reject for table in tables for reject in table_to_rejects(table)]


def clear_tries(store: Store, run: str) -> None:
    """Delete the files of tries and interrupted writes; nothing reads them after the manifest."""
    store.delete_folder(layout.tries(run))
    local = store.local_path()
    for folder in (local, local / "data") if local is not None else ():
        for unfinished in folder.glob(f"{UNFINISHED}*"):
            unfinished.unlink(missing_ok=True)


def _data_files(manifest: Manifest | None) -> list[ManifestFile]:
    return [file for file in manifest.files if layout.split_and_index(file.path)] if manifest else []


def _counts(manifest: Manifest | None) -> Counts:
    return manifest.counts if manifest is not None else Counts()
