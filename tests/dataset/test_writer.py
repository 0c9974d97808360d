"""A run's folder: shard tries, markers, resuming, finishing, duplicates, versions."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from factories import make_reject, make_row, make_shard

from fo1_data.dataset.manifest import find_manifest
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.replay import replay_entries
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.writer import DatasetRun, open_run, write_shard
from fo1_data.errors import DatasetError, FingerprintError
from fo1_data.storage.store import Store
from schemas.dataset import Manifest, ModelInfo
from schemas.images import ImageRow, RejectStage
from schemas.labels import Decision
from schemas.progress import RunProgress, RunState
from schemas.shards import ShardReport

FINGERPRINT = {"model_sha256": "aa", "labels": ["brief_caption"], "listing_sha256": "ll"}
MODEL = ModelInfo(name="fo1-tiny", sha256="ab" * 32, licence="Apache-2.0")


def begin(out: Path, **changes: object) -> DatasetRun:
    return open_run(str(out), {**FINGERPRINT, **changes}, {"corpus": "made-up"})


def finish(run: DatasetRun) -> Manifest:
    with run.lease() as lease:
        return run.seal("made-up", MODEL, "fo1-tiny", lease=lease)


def small_dataset(out: Path, shards: int = 2, rows: int = 3) -> Manifest:
    run = begin(out)
    for index in range(shards):
        of_shard = [make_row(10 * index + i, folder=out.parent / "images") for i in range(rows)]
        run.write_shard(make_shard(index), of_shard, [make_reject(f"broken-{index}")], f"t{index}")
    return finish(run)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_rows_and_rejects_come_out_as_they_went_in(tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    run = begin(out)
    rows = [make_row(i, split="train" if i % 2 else "test", decisions=[Decision.REVIEW]) for i in range(6)]
    run.write_shard(make_shard(1), rows[3:], [make_reject("late")], "a")
    run.write_shard(make_shard(0), rows[:3], [make_reject("early")], "b")
    manifest = finish(run)
    paths = [file.path for file in manifest.files]
    assert paths == [
        "data/test-00000.parquet", "data/train-00000.parquet", "data/test-00001.parquet",
        "data/train-00001.parquet", "rejects.parquet",
    ]  # fmt: skip
    for file in manifest.files:
        data = (out / file.path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.num_bytes, file.sha256)
    dataset = open_dataset(str(out))
    assert sorted(row.uri for row in dataset.rows()) == sorted(row.uri for row in rows)
    assert {row.uri: row for row in dataset.rows()} == {row.uri: row for row in rows}
    assert [row.uri for row in dataset.rows("train")] == [rows[1].uri, rows[3].uri, rows[5].uri]
    assert [reject.uri for reject in dataset.rejects()] == ["early", "late"]
    counts = manifest.counts
    assert (counts.images, counts.rejected, counts.regions, counts.captions) == (6, 2, 12, 12)
    assert (counts.groundings, counts.review, counts.accepted) == (6, 6, 0)
    assert manifest.version == "1"
    assert not list((out / ".run").rglob("*.parquet"))


def test_nothing_counts_before_the_manifest(tmp_path: Path) -> None:
    run = begin(tmp_path / "d")
    run.write_shard(make_shard(), [make_row()], [], "a")
    assert not (tmp_path / "d" / "data").exists()
    with pytest.raises(DatasetError, match="not finished: run the same"):
        open_dataset(str(tmp_path / "d"))


def test_the_first_try_of_a_shard_counts_and_a_late_one_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "d"
    run = begin(out)
    first = run.write_shard(make_shard(), [make_row(1)], [], "first")
    before = files_below(out)
    late = write_shard(str(out), make_shard(), [make_row(2)], [make_reject()], "late")
    assert late == first
    assert files_below(out) == before
    assert [row.image_id for row in _rows(finish(run), out)] == [make_row(1).image_id]
    assert run.write_shard(make_shard(), [make_row(3)], [], "after the end").try_id == "first"
    assert [row.image_id for row in _rows(find_manifest(run.store), out)] == [make_row(1).image_id]


class SlowRows(list[ImageRow]):
    """Rows that are read only after `overtake` was called: once a try has looked for the marker."""

    def __init__(self, rows: list[ImageRow], overtake: Callable[[], object]) -> None:
        super().__init__(rows)
        self._overtake = overtake

    def __iter__(self) -> Iterator[ImageRow]:
        self._overtake()
        return super().__iter__()


def test_two_tries_racing_to_the_marker_leave_one(tmp_path: Path) -> None:
    """The slower try looks for the marker before the faster one has made it."""
    out = tmp_path / "d"
    run = begin(out)
    faster: list[ShardReport] = []

    def overtake() -> None:
        faster.append(run.write_shard(make_shard(), [make_row(1)], [], "fast"))

    report = run.write_shard(make_shard(), SlowRows([make_row(1)], overtake), [], "slow")
    assert [made.try_id for made in faster] == ["fast"]
    assert report.try_id == "fast"
    assert [path for path in files_below(out) if path.endswith(".parquet")] == [
        ".run/tries/00000-fast/train.parquet"
    ]


def test_resuming_knows_what_is_done(tmp_path: Path) -> None:
    out = tmp_path / "d"
    report = begin(out).write_shard(make_shard(0), [make_row(1)], [], "a", seconds=2.5)
    again = begin(out)
    assert again.done_shards() == {report.shard_id: report}
    with pytest.raises(DatasetError, match="1 shard not done, missing first"):
        again.seal("x", shard_ids=[report.shard_id, "missing"])


def test_another_fingerprint_is_refused_and_names_each_difference(tmp_path: Path) -> None:
    begin(tmp_path / "d")
    with pytest.raises(FingerprintError) as refusal:
        begin(tmp_path / "d", model_sha256="bb", labels=["ocr"], new="setting")
    message = str(refusal.value)
    for part in ('model_sha256: "aa" -> "bb"', '["brief_caption"] -> ["ocr"]', 'new: null -> "setting"'):
        assert part in message
    assert "\n" not in message
    assert "listing" not in message


def test_a_finished_dataset_is_not_written_again(tmp_path: Path) -> None:
    manifest = small_dataset(tmp_path / "d")
    assert begin(tmp_path / "d").manifest == manifest
    with pytest.raises(FingerprintError):
        begin(tmp_path / "d", model_sha256="bb")
    (tmp_path / "d" / ".run" / "fingerprint.json").unlink()
    assert begin(tmp_path / "d").manifest == manifest
    with pytest.raises(FingerprintError, match="model_sha256"):
        begin(tmp_path / "d", model_sha256="bb")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DatasetError, match="not empty"):
        begin(tmp_path)
    assert files_below(tmp_path) == ["thesis.txt"]


def test_equal_rows_give_equal_files(tmp_path: Path) -> None:
    one, other = small_dataset(tmp_path / "a" / "d"), small_dataset(tmp_path / "b" / "d")
    assert one.counts == other.counts
    # The rows name their images by absolute path, which differs here; so compare rows without.
    rows = [[r.model_dump(exclude={"uri", "uris", "image"}) for r in _rows(m, tmp_path / p / "d")]
            for m, p in ((one, "a"), (other, "b"))]  # fmt: skip
    assert rows[0] == rows[1]


def test_equal_images_in_two_shards_become_one_row(tmp_path: Path) -> None:
    out = tmp_path / "d"
    run = begin(out)
    run.write_shard(make_shard(2), [make_row(1, uri="third"), make_row(3)], [], "c")
    run.write_shard(make_shard(0), [make_row(1, uri="first"), make_row(1, uri="beside")], [], "a")
    run.write_shard(make_shard(1), [make_row(1, uri="second")], [], "b")
    manifest = finish(run)
    rows = _rows(manifest, out)
    assert [row.uris for row in rows] == [["first", "beside", "second", "third"], make_row(3).uris]
    assert [d.model_dump() for d in manifest.duplicates] == [
        {"image_id": make_row(1).image_id, "kept": "first", "dropped": ["beside", "second", "third"]}
    ]
    assert manifest.counts.images == 2
    assert [f.path for f in manifest.files] == [
        "data/train-00000.parquet", "data/train-00002.parquet", "rejects.parquet"
    ]  # fmt: skip


class Crash(Exception):
    pass


class CrashingStore(Store):
    """A store that raises Crash once `num_writes` files were written or moved."""

    def __init__(self, url: str, num_writes: int) -> None:
        super().__init__(url)
        self._num_left = num_writes

    @contextmanager
    def open_output(self, path: str) -> Iterator[BinaryIO]:
        self._count()
        with super().open_output(path) as file:
            yield file

    def create_exclusive(self, path: str, data: bytes) -> bool:
        self._count()
        return super().create_exclusive(path, data)

    def place(self, source: str, target: str) -> None:
        self._count()
        super().place(source, target)

    def _count(self) -> None:
        if self._num_left == 0:
            raise Crash
        self._num_left -= 1


@pytest.mark.parametrize("broken_write", range(6))
def test_finishing_again_after_a_crash_at_any_write(tmp_path: Path, broken_write: int) -> None:
    out = tmp_path / "d"
    run = begin(out)
    run.write_shard(make_shard(0), [make_row(1), make_row(2)], [make_reject()], "a")
    run.write_shard(make_shard(1), [make_row(1, uri="again"), make_row(3)], [], "b")
    run.write_shard(make_shard(2), [make_row(4)], [], "c")
    run.store = CrashingStore(str(out), broken_write)
    with pytest.raises(Crash):
        run.seal("made-up", MODEL)
    assert find_manifest(run.store) is None
    manifest = finish(begin(out))
    assert [row.uris[0] for row in _rows(manifest, out)] == [make_row(i).uri for i in (1, 2, 3, 4)]
    assert _rows(manifest, out)[0].uris == [make_row(1).uri, "again"]
    assert [reject.uri for reject in open_dataset(str(out)).rejects()] == [make_reject().uri]


def test_a_run_without_a_single_row_is_still_a_dataset(tmp_path: Path) -> None:
    run = begin(tmp_path / "d")
    run.write_shard(make_shard(), [], [make_reject()], "a")
    manifest = finish(run)
    assert (manifest.counts.images, manifest.counts.rejected) == (0, 1)
    assert _rows(manifest, tmp_path / "d") == []


def test_progress_is_whole_and_stamped(tmp_path: Path) -> None:
    run = begin(tmp_path / "d")
    run.write_progress(RunProgress(images=3, state=RunState.FAILED, error="no space left"))
    found = json.loads((tmp_path / "d" / ".run" / "progress.json").read_text())
    assert (found["images"], found["state"], found["error"]) == (3, "failed", "no space left")
    assert found["updated_at"]


def test_a_replay_adds_a_version_and_leaves_the_old_one_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "d"
    old = small_dataset(out)
    before = {path: (out / path).read_bytes() for path in files_below(out) if path.startswith("data/")}
    assert [entry.uri for entry in replay_entries(str(out))] == ["broken-0", "broken-1"]

    run = open_run(str(out), {**FINGERPRINT, "listing_sha256": "other"}, {}, replay=True)
    assert run.manifest is None
    assert run.done_shards() == {}
    mended = make_row(99, uri="broken-0")
    run.write_shard(make_shard(0), [mended, make_row(0, uri="again")], [make_reject("broken-1")], "r")
    new = finish(run)

    assert (new.version, new.parent) == ("2", "made-up@1")
    assert {path: (out / path).read_bytes() for path in before} == before
    assert new.files[-2].path == "data/train-00002.parquet"
    dataset = open_dataset(str(out))
    assert [row.uri for row in dataset.rows()][-1] == "broken-0"
    assert len(list(dataset.rows())) == 7
    assert [d.dropped for d in new.duplicates] == [["again"]]
    assert [reject.uri for reject in dataset.rejects()] == ["broken-1"]
    assert (new.counts.images, new.counts.rejected) == (7, 1)

    kept = Manifest.model_validate_json((out / "manifest.1.json").read_text())
    assert kept.model_dump(exclude={"files"}) == old.model_dump(exclude={"files"})
    for file in kept.files:
        assert hashlib.sha256((out / file.path).read_bytes()).hexdigest() == file.sha256
    assert begin(out).manifest == new


class SleepyStore(Store):
    """A store of a driver that stands still before it writes `moment`, for as long as `meanwhile` takes."""

    def __init__(self, out: Path, moment: str, meanwhile: Callable[[], object]) -> None:
        super().__init__(str(out))
        self._moment, self._meanwhile = moment, meanwhile

    def _stand_still(self, path: str) -> None:
        if path == self._moment:
            self._moment = ""
            self._meanwhile()

    @contextmanager
    def open_output(self, path: str) -> Iterator[BinaryIO]:
        self._stand_still(path)
        with super().open_output(path) as file:
            yield file

    def create_exclusive(self, path: str, data: bytes) -> bool:
        self._stand_still(path)
        return super().create_exclusive(path, data)

    def place(self, source: str, target: str) -> None:
        self._stand_still(target)
        super().place(source, target)


@pytest.mark.parametrize("moment", ["data/train-00000.parquet", "manifest.json"])
def test_a_driver_that_slept_while_others_went_on_takes_nothing_back(tmp_path: Path, moment: str) -> None:
    """Stopped in its last step, it loses its lease; another ends the run and tries its rejects again."""
    out = tmp_path / "d"

    def others_go_on() -> None:
        begin(out).seal("made-up", MODEL, "fo1-tiny")
        replay = open_run(str(out), FINGERPRINT, {}, replay=True)
        replay.write_shard(make_shard(), [make_row(99, uri="broken")], [], "r")
        replay.seal("made-up", MODEL, "fo1-tiny")

    run = begin(out)
    run.write_shard(make_shard(), [make_row(1)], [make_reject("broken")], "t")
    run.store = SleepyStore(out, moment, others_go_on)
    assert run.seal("made-up", MODEL, "fo1-tiny").version == "2"

    dataset = open_dataset(str(out))
    assert [row.uri for row in dataset.rows()][-1] == "broken"
    assert (dataset.manifest.version, list(dataset.rejects())) == ("2", [])
    assert validate_dataset(str(out)) == []


def test_a_replay_keeps_the_rejects_that_are_not_tried_again(tmp_path: Path) -> None:
    out = tmp_path / "d"
    run = begin(out)
    bad_box = make_reject("fine-image", stage=RejectStage.BOX)
    unlisted = make_reject("line 3", stage=RejectStage.LISTING, source=None)
    run.write_shard(make_shard(), [make_row(1)], [bad_box, make_reject("broken")], "a")
    run.seal("made-up", listing_rejects=[unlisted])
    replay = open_run(str(out), FINGERPRINT, {}, replay=True)
    replay.write_shard(make_shard(), [make_row(2)], [], "b")
    finish(replay)
    assert [reject.uri for reject in open_dataset(str(out)).rejects()] == ["line 3", "fine-image"]


def test_the_next_version_names_its_parent(tmp_path: Path) -> None:
    parent = small_dataset(tmp_path / "a")
    run = begin(tmp_path / "b", labels=["ocr"])
    run.write_shard(make_shard(), [make_row()], [], "a")
    manifest = run.seal("made-up", parent=parent)
    assert (manifest.version, manifest.parent) == ("2", "made-up@1")


def test_a_replay_of_nothing_or_under_other_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no finished dataset"):
        open_run(str(tmp_path / "none"), FINGERPRINT, {}, replay=True)
    small_dataset(tmp_path / "d")
    with pytest.raises(FingerprintError, match="model_sha256"):
        open_run(str(tmp_path / "d"), {**FINGERPRINT, "model_sha256": "bb"}, {}, replay=True)


def _rows(manifest: Manifest | None, out: Path) -> list:
    assert manifest is not None
    return list(open_dataset(str(out)).rows())


@pytest.mark.parametrize("is_gone", [True, False])
def test_rejects_that_are_lost_are_not_tried_again_as_if_there_were_none(
    tmp_path: Path, is_gone: bool
) -> None:
    out = tmp_path / "d"
    small_dataset(out)
    rejects = out / "rejects.parquet"
    if is_gone:
        rejects.unlink()
    else:
        rejects.write_bytes(rejects.read_bytes()[:-1])
    with pytest.raises(DatasetError, match=f"{rejects} is {'gone' if is_gone else 'damaged'}: bring it back"):
        replay_entries(str(out))
