"""Gathers the files of neighbouring shards into one file for each split, in whatever process.

Safe as the writing of a shard is: each try writes into a folder of its own, and a marker that is made only if
there is none says which try counts. The files of the shards are deleted after the marker; a late try that
finds them gone finds the marker.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pyarrow as pa

from fo1_data.dataset.checked_json import read_checked, with_checksum
from fo1_data.dataset.done_shards import READERS, begin_again, read_report
from fo1_data.dataset.layout import REJECTS, TRACKS, VIDEOS, group_folder, group_marker, group_markers
from fo1_data.dataset.shard_groups import ShardGroup
from fo1_data.dataset.table_files import read_tables, write_tables
from fo1_data.errors import StorageError
from fo1_data.storage.store import Store
from schemas.parquet import IMAGE_SCHEMA, REJECT_SCHEMA
from schemas.shards import GroupReport, ShardFile, ShardReport
from schemas.tracks import TRACK_SCHEMA, VIDEO_SCHEMA

_SCHEMAS = {REJECTS: REJECT_SCHEMA, VIDEOS: VIDEO_SCHEMA, TRACKS: TRACK_SCHEMA}


def gather_group(store: Store, run: str, group: ShardGroup, try_id: str) -> GroupReport:
    """Gather the files of a group whose shards are done, and return the report of the try that counts.

    `try_id` is unique to the try. Raises StorageError if the store is full or lost; then no marker is there
    and the group is gathered again.
    """
    earlier = _read_group(store, group_marker(run, group.first_index))
    if earlier is not None:
        return earlier
    folder = group_folder(run, group.first_index, try_id)
    reports = _load_reports(store, run, group)
    try:
        made = _write_files(store, reports, folder, try_id)
    except FileNotFoundError as error:
        store.delete_folder(folder)
        return _winner(store, group_marker(run, group.first_index), error)
    except Exception:
        with suppress(StorageError):
            store.delete_folder(folder)
        raise
    path = group_marker(run, group.first_index)
    if not store.create_exclusive(path, with_checksum(made.model_dump_json().encode())):
        store.delete_folder(folder)
        return _winner(store, path)
    _delete_files(store, reports)
    return made


def read_groups(store: Store, run: str) -> dict[int, GroupReport]:
    """The groups that are gathered, by their first index."""
    paths = [path for path in store.list(group_markers(run)) if path.endswith(".json")]
    with ThreadPoolExecutor(READERS) as pool:
        groups = [group for group in pool.map(lambda path: _read_group(store, path), paths) if group]
    return {group.first_index: group for group in groups}


def _load_reports(store: Store, run: str, group: ShardGroup) -> list[ShardReport]:
    with ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(lambda shard_id: read_report(store, run, shard_id), group.shard_ids))
    reports = [report for report in found if report is not None]
    if len(reports) < len(found):
        raise StorageError(
            f"{store.url}: shards from {group.first_index} on are not done any more: run again"
        )
    return reports


def _write_files(store: Store, reports: Sequence[ShardReport], folder: str, try_id: str) -> GroupReport:
    by_split: dict[str, list[ShardFile]] = {}
    for report in reports:
        for file in report.files:
            by_split.setdefault(str(file.split), []).append(file)
    return GroupReport(
        first_index=reports[0].index,
        last_index=reports[-1].index,
        try_id=try_id,
        files=[
            _join(store, files, f"{folder}/{split}.parquet", IMAGE_SCHEMA, split)
            for split, files in sorted(by_split.items())
        ],
        rejects=_join_present(store, [report.rejects for report in reports], folder, REJECTS),
        videos=_join_present(store, [report.videos for report in reports], folder, VIDEOS),
        tracks=_join_present(store, [report.tracks for report in reports], folder, TRACKS),
    )


def _join_present(
    store: Store, files: Sequence[ShardFile | None], folder: str, table: str
) -> ShardFile | None:
    present = [file for file in files if file is not None]
    return _join(store, present, f"{folder}/{table}", _SCHEMAS[table], None) if present else None


def _join(
    store: Store, files: Sequence[ShardFile], path: str, schema: pa.Schema, split: str | None
) -> ShardFile:
    return write_tables(store, path, schema, read_tables(store, files), split)


def _delete_files(store: Store, reports: Sequence[ShardReport]) -> None:
    folders = {file.path.rpartition("/")[0] for report in reports for file in report.all_files}
    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(store.delete_folder, sorted(folders)))


def _read_group(store: Store, path: str) -> GroupReport | None:
    try:
        return read_checked(store, path, GroupReport.model_validate_json, begin_again(store, path))
    except FileNotFoundError:
        return None


def _winner(store: Store, path: str, error: FileNotFoundError | None = None) -> GroupReport:
    winner = _read_group(store, path)
    if winner is None:
        gone = f"{error.filename or error}" if error else store.address(path)
        raise StorageError(
            f"{gone} was there and is gone: another program writes here, or the marker in .run/shards that "
            "names this file is damaged: then delete that marker and run again"
        ) from error
    return winner
