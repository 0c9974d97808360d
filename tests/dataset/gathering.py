"""A made-up run of six shards whose files are gathered, and a store whose process dies."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from factories import make_reject, make_row, make_shard

from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.shard_files import write_shard
from fo1_data.dataset.shard_groups import ShardGroup
from fo1_data.dataset.writer import DatasetRun, open_run
from fo1_data.storage.store import Store
from schemas.dataset import Manifest
from schemas.images import ImageRow, Reject
from schemas.shards import FileLimits, ShardReport

FINGERPRINT = {"model_sha256": "aa"}
LIMITS = FileLimits(rows=6)
ROWS = {
    (shard, place): make_row(
        10 * shard + place, split="test" if (shard + place) % 3 == 0 else "train", embed=shard == 2
    )
    for shard in range(6)
    for place in range(1 + shard % 3)
}


def rows_of(shard: int) -> list[ImageRow]:
    """The rows of a shard; the first image of shard 1 is in shards 3 and 5 too."""
    rows = [row for (of, _), row in ROWS.items() if of == shard]
    if shard in (3, 5):
        twin = ROWS[1, 0]
        rows.append(twin.model_copy(update={"uri": f"twin-{shard}", "uris": [f"twin-{shard}"]}))
    return rows


def rejects_of(shard: int) -> list[Reject]:
    return [make_reject(f"broken-{shard}")] if shard % 2 else []


def begin(out: Path) -> DatasetRun:
    return open_run(str(out), FINGERPRINT, {})


def write(out: Path, shard: int, try_id: str = "t") -> ShardReport:
    return write_shard(str(out), make_shard(shard), rows_of(shard), rejects_of(shard), try_id)


def ready_groups(out: Path, limits: FileLimits = LIMITS) -> list[ShardGroup]:
    return begin(out).plan_groups(6, limits)[0].take_ready()


def content(out: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of each split, in order, and the rejects."""
    dataset = open_dataset(str(out))
    rows = {split: [row.model_dump() for row in dataset.rows(split)] for split in ("test", "train")}
    return {**rows, "rejects": [reject.model_dump() for reject in dataset.rejects()]}


def files_of(manifest: Manifest) -> list[tuple[str, str]]:
    return [(file.path, file.sha256) for file in manifest.files]


def write_gathered(out: Path) -> Path:
    """The whole run in `out`, gathered and sealed."""
    begin(out)
    for shard in range(6):
        write(out, shard)
    for group in ready_groups(out):
        begin(out).gather(group, "t")
    begin(out).seal("made-up")
    return out


class Crash(Exception):
    pass


class DyingStore(Store):
    """A store whose process dies before the `deadly`-th write, mark, placing or deletion.

    before_mark: called before a mark is made.
    """

    def __init__(
        self, out: Path, deadly: int = 1_000, before_mark: Callable[[], object] = lambda: None
    ) -> None:
        super().__init__(str(out))
        self._left, self._before_mark = deadly, before_mark

    def _step(self) -> None:
        self._left -= 1
        if self._left <= 0:
            raise Crash

    @contextmanager
    def open_output(self, path: str) -> Iterator[BinaryIO]:
        with super().open_output(path) as file:
            self._step()
            yield file

    def create_exclusive(self, path: str, data: bytes) -> bool:
        self._step()
        self._before_mark()
        return super().create_exclusive(path, data)

    def place(self, source: str, target: str) -> None:
        self._step()
        super().place(source, target)

    def delete_folder(self, folder: str) -> None:
        self._step()
        super().delete_folder(folder)


def finish(out: Path) -> Manifest:
    """What is left of a run, undisturbed."""
    run = begin(out)
    if run.manifest is not None:
        return run.manifest
    for shard in range(6):
        write(out, shard, "last")
    for group in ready_groups(out):
        begin(out).gather(group, "last")
    return begin(out).seal("made-up")
