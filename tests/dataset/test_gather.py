"""Files of shards gathered into few files: the same rows in the same order, whatever happens meanwhile."""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from factories import make_row, make_shard
from gathering import (
    FINGERPRINT,
    LIMITS,
    Crash,
    DyingStore,
    begin,
    content,
    files_of,
    finish,
    ready_groups,
    write,
    write_gathered,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.confidence.routed_batch import Routed
from fo1_data.dataset.arrow_columns import records_to_table
from fo1_data.dataset.gather import gather_group
from fo1_data.dataset.layout import RUN
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.row_batches import rows_to_batch
from fo1_data.dataset.rows import table_to_rows
from fo1_data.dataset.shard_groups import GroupPlan, ShardGroup
from fo1_data.dataset.table_files import in_row_groups
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.writer import open_run
from fo1_data.errors import StorageError
from fo1_data.storage.store import open_store
from schemas.dataset import Counts
from schemas.labels import Decision
from schemas.parquet import IMAGE_SCHEMA
from schemas.shards import FileLimits, ShardReport


@pytest.fixture(scope="module")
def ungathered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ungathered") / "d"
    for shard in range(6):
        begin(out)
        write(out, shard)
    begin(out).seal("made-up")
    return out


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gathered(tmp_path_factory.mktemp("gathered") / "d")


def test_gathering_changes_files_and_nothing_else(ungathered: Path, gathered: Path) -> None:
    assert content(gathered) == content(ungathered)
    with_shards, with_groups = (open_dataset(str(out)).manifest for out in (ungathered, gathered))
    assert with_groups.counts == with_shards.counts
    assert with_groups.duplicates == with_shards.duplicates != []
    assert [file.path for file in with_groups.files] == [
        "data/test-00000.parquet", "data/train-00000.parquet",
        "data/test-00003.parquet", "data/train-00003.parquet",
        "data/test-00005.parquet", "data/train-00005.parquet", "rejects.parquet",
    ]  # fmt: skip
    assert validate_dataset(str(gathered)) == []
    for file in with_groups.files[:-1]:
        parquet = pq.ParquetFile(gathered / file.path)
        assert file.row_group_rows == [parquet.metadata.row_group(0).num_rows] == [file.num_rows]


def test_a_small_run_ends_with_one_file_a_split(tmp_path: Path, ungathered: Path) -> None:
    out = tmp_path / "d"
    begin(out)
    for shard in range(6):
        write(out, shard)
    (group,) = ready_groups(out, FileLimits())
    begin(out).gather(group, "t")
    assert [path.parent.name for path in out.rglob("*.parquet")] == ["group-00000-t"] * 3
    manifest = begin(out).seal("made-up")
    assert [file.path for file in manifest.files] == [
        "data/test-00000.parquet", "data/train-00000.parquet", "rejects.parquet"
    ]  # fmt: skip
    assert content(out) == content(ungathered)


class Deciding:
    """Sends rows to review that have more regions than the mean."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def see(self, batch: pa.RecordBatch) -> None:
        self.seen += batch["width"].to_pylist()

    def decide(self, batch: pa.RecordBatch) -> Routed:
        rows = list(table_to_rows(batch))
        for row in rows:
            row.decision = Decision.REVIEW if len(self.seen) % 2 else Decision.UNREVIEWED
            for label in row.all_labels():
                label.decision = row.decision
        return Routed(rows_to_batch(rows), is_changed=True)


def test_rows_that_are_decided_at_the_end(tmp_path: Path) -> None:
    outs = [tmp_path / "shards", tmp_path / "groups"]
    for out in outs:
        begin(out)
        for shard in range(6):
            write(out, shard)
    for group in ready_groups(outs[1]):
        begin(outs[1]).gather(group, "t")
    deciders = [Deciding(), Deciding()]
    counts = [
        begin(out).seal("d", decider=decider).counts for out, decider in zip(outs, deciders, strict=True)
    ]
    assert counts[0] == counts[1]
    assert counts[1].review + counts[1].unreviewed > 0
    assert sorted(deciders[0].seen) == sorted(deciders[1].seen)
    assert content(outs[0]) == content(outs[1])


@given(
    sizes=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 60)), min_size=1, max_size=12),
    order=st.randoms(use_true_random=False),
    first=st.integers(0, 3),
)
def test_groups_follow_from_the_sizes_alone(sizes: list[tuple[int, int]], order: Any, first: int) -> None:
    limits = FileLimits(rows=8, row_bytes=100)
    reports = [
        ShardReport(
            shard_id=f"s{index}", index=first + index, try_id="t", files=[], row_bytes=num_bytes,
            counts=Counts(images=rows),
        )
        for index, (rows, num_bytes) in enumerate(sizes)
    ]  # fmt: skip
    indices = range(first, first + len(sizes))

    def groups(arriving: Sequence[ShardReport]) -> list[ShardGroup]:
        plan = GroupPlan(indices, limits)
        found = []
        for report in arriving:
            plan.add(report)
            plan.add(report)
            found += plan.take_ready()
        return found

    in_order = groups(reports)
    assert groups(order.sample(reports, len(reports))) == in_order
    members = [shard_id for group in in_order for shard_id in group.shard_ids]
    assert members == sorted(set(members), key=lambda name: int(name[1:]))
    for group in in_order:
        own = [sizes[int(name[1:])] for name in group.shard_ids]
        assert len(own) > 1
        assert sum(rows for rows, _ in own) <= limits.rows
        assert sum(num_bytes for _, num_bytes in own) <= limits.row_bytes
    ends = [group.first_index + len(group.shard_ids) - first for group in in_order]
    for group, end in zip(in_order, ends, strict=True):
        if end < len(sizes):  # the next shard would not have fitted
            whole = [*sizes[group.first_index - first : end], sizes[end]]
            assert sum(rows for rows, _ in whole) > 8 or sum(size for _, size in whole) > 100
    assert GroupPlan(indices, limits, [group.first_index for group in in_order]).take_ready() == []


@settings(deadline=None)
@given(
    tables=st.lists(st.lists(st.integers(0, 300), max_size=9), max_size=6),
    max_rows=st.integers(1, 7),
    max_bytes=st.integers(400, 3_000),
)
def test_row_groups_join_and_cut(tables: list[list[int]], max_rows: int, max_bytes: int) -> None:
    made = [
        records_to_table(
            [{"image": {"bytes": b"x" * n}, "regions": [], "groundings": []} for n in sizes], IMAGE_SCHEMA
        )
        for sizes in tables
    ]
    groups = list(in_row_groups(iter(made), max_rows, max_bytes))
    lengths = [[len(row["image"]["bytes"]) for row in group.to_pylist()] for group in groups]
    assert [n for group in lengths for n in group] == [n for sizes in tables for n in sizes]
    for group in lengths:
        assert 1 <= len(group) <= max_rows
        assert sum(500 + n for n in group) <= max_bytes or len(group) == 1


@pytest.mark.parametrize("deadly", range(1, 14))
def test_a_gathering_that_dies_anywhere_is_done_again(tmp_path: Path, gathered: Path, deadly: int) -> None:
    out = tmp_path / "d"
    begin(out)
    for shard in range(6):
        write(out, shard)
    groups, store = ready_groups(out), DyingStore(out, deadly)
    with suppress(Crash):
        for group in groups:
            gather_group(store, RUN, group, "dies")
        run = begin(out)
        run.store = store
        run.seal("made-up")
    assert files_of(finish(out)) == files_of(open_dataset(str(gathered)).manifest)
    assert content(out) == content(gathered)


def test_a_group_overtaken_before_its_mark_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "d"
    begin(out)
    for shard in range(6):
        write(out, shard)
    group = ready_groups(out)[0]
    slow = DyingStore(out, before_mark=lambda: gather_group(open_store(str(out)), RUN, group, "fast"))
    assert gather_group(slow, RUN, group, "slow").try_id == "fast"
    assert gather_group(open_store(str(out)), RUN, group, "late").try_id == "fast"
    assert {path.parent.name for path in out.rglob("group-*/*")} == {"group-00000-fast"}


def test_a_damaged_file_of_a_shard_is_one_line(tmp_path: Path) -> None:
    out = tmp_path / "d"
    begin(out)
    for shard in range(6):
        path = out / write(out, shard).files[0].path
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StorageError, match="damaged") as caught:
        for group in ready_groups(out, FileLimits()):
            begin(out).gather(group, "t")
    assert "\n" not in str(caught.value)
    assert not list(out.rglob("group-*/*"))


def test_a_resumed_run_keeps_its_limits(tmp_path: Path) -> None:
    run = begin(tmp_path / "d")
    assert run.plan_groups(6, FileLimits(rows=7))[1].rows == 7
    assert begin(tmp_path / "d").plan_groups(6, FileLimits(rows=9))[1].rows == 7


def test_a_replay_gathers_its_own_shards(tmp_path: Path) -> None:
    out = tmp_path / "d"
    finish(out)
    before = {path: path.read_bytes() for path in (out / "data").iterdir()}
    run = open_run(str(out), FINGERPRINT, {}, replay=True)
    for index in range(2):
        run.write_shard(make_shard(index), [make_row(200 + index, uri=f"broken-{1 + index}")], [], "r")
    (group,) = run.plan_groups(2, LIMITS)[0].take_ready()
    run.gather(group, "r")
    manifest = run.seal("made-up")
    assert {path: path.read_bytes() for path in before} == before
    assert [f.path for f in manifest.files if f.path.startswith("data/")][-1] == "data/train-00006.parquet"
    assert [row.uri for row in open_dataset(str(out)).rows()][-2:] == ["broken-1", "broken-2"]
    assert validate_dataset(str(out)) == []


def damage(path: Path) -> None:
    """Change a byte in the middle, as a bad disk does: a caption, whose length stays."""
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0x20
    path.write_bytes(data)


@pytest.mark.parametrize("is_gathered", [True, False])
def test_a_damaged_file_of_a_shard_is_named_with_the_marker_to_delete(
    tmp_path: Path, gathered: Path, ungathered: Path, is_gathered: bool
) -> None:
    out = tmp_path / "d"
    begin(out)
    report = next(report for report in [write(out, shard) for shard in range(6)] if report.index == 4)
    damage(out / report.files[0].path)
    with pytest.raises(StorageError, match=r"is damaged: delete .*/shards/.*\.json and run again") as caught:
        if is_gathered:
            for group in ready_groups(out):
                begin(out).gather(group, "t")
        begin(out).seal("made-up")
    marker = Path(str(caught.value).split("delete ")[1].split()[0])
    assert json.loads(marker.read_text())["shard_id"] == report.shard_id

    marker.unlink()
    write(out, 4, "again")
    if is_gathered:
        for group in ready_groups(out):
            begin(out).gather(group, "again")
    manifest = begin(out).seal("made-up")
    expected = begin(gathered if is_gathered else ungathered).manifest
    assert expected is not None
    assert files_of(manifest) == files_of(expected)
    assert validate_dataset(str(out)) == []


@pytest.mark.parametrize("is_gone", [True, False])
def test_lost_rejects_of_a_shard_are_named_with_the_marker_to_delete(
    tmp_path: Path, ungathered: Path, is_gone: bool
) -> None:
    out = tmp_path / "d"
    begin(out)
    rejects = [write(out, shard) for shard in range(6)][3].rejects
    assert rejects is not None
    if is_gone:
        (out / rejects.path).unlink()
    else:
        damage(out / rejects.path)
    state = "gone" if is_gone else "damaged"
    with pytest.raises(StorageError, match=rf"is {state}: delete .*/shards/.*\.json and run again") as caught:
        begin(out).seal("made-up")
    Path(str(caught.value).split("delete ")[1].split()[0]).unlink()
    write(out, 3, "again")
    begin(out).seal("made-up")
    assert content(out) == content(ungathered)


@pytest.mark.parametrize("text", ["7", "[]", '"a"', "{}", '{"images": 7}', '{"images": [7]}', "[" * 100_000])
def test_a_marker_of_another_form_is_damaged(tmp_path: Path, text: str) -> None:
    begin(tmp_path / "d")
    write(tmp_path / "d", 0)
    (marker,) = (tmp_path / "d" / ".run" / "shards").glob("*.json")
    marker.write_text(text)
    with pytest.raises(StorageError, match=rf"{marker.name} is damaged: delete it and run again"):
        begin(tmp_path / "d").done_shards()


def test_a_marker_that_names_a_file_elsewhere_is_damaged(tmp_path: Path, ungathered: Path) -> None:
    """One changed byte in a path leaves the marker readable."""
    out = tmp_path / "d"
    begin(out)
    report = [write(out, shard) for shard in range(6)][2]
    (marker,) = [
        path
        for path in (out / ".run" / "shards").glob("*.json")
        if json.loads(path.read_text())["shard_id"] == report.shard_id
    ]
    folder = report.files[0].path.rpartition("/")[0]
    marker.write_text(marker.read_text().replace(folder, folder.replace("tries", "tsies")))
    with pytest.raises(StorageError, match=rf"{marker.name} is damaged: delete it and run again"):
        begin(out).seal("made-up")

    marker.unlink()
    write(out, 2, "again")
    expected = begin(ungathered).manifest
    assert expected is not None
    assert files_of(begin(out).seal("made-up")) == files_of(expected)


def test_a_damaged_gathered_file_ends_in_no_dataset(tmp_path: Path) -> None:
    out = tmp_path / "d"
    begin(out)
    for shard in range(6):
        write(out, shard)
    group = begin(out).gather(ready_groups(out)[0], "t")
    damage(out / group.files[0].path)
    with pytest.raises(StorageError, match=rf"is damaged: delete {out} and run again"):
        begin(out).seal("made-up")
    assert not (out / "manifest.json").exists()
