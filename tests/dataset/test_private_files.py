"""A bit that changes in a file that a run keeps for itself costs a line at most, never a row."""

import json
import re
import shutil
from pathlib import Path

import pytest
from factories import make_row, make_shard
from gathering import FINGERPRINT, LIMITS, begin, content, finish, ready_groups, write, write_gathered
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.dataset.done_shards import DoneShards
from fo1_data.dataset.layout import RUN
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.writer import DatasetRun, open_run
from fo1_data.errors import Fo1Error, StorageError
from fo1_data.storage.store import Store

FILES = ("fingerprint.json", "file_limits.json", "shards/*.json", "groups/*.json")
_TO_DELETE = re.compile(r" delete (\S+)")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gathered(tmp_path_factory.mktemp("whole") / "d")


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five of six shards are labelled, and one group of them is gathered."""
    out = tmp_path_factory.mktemp("unfinished") / "d"
    begin(out)
    for shard in range(5):
        write(out, shard)
    begin(out).gather(ready_groups(out)[0], "t")
    return out


def go_on(out: Path, damaged: Path, undamaged: bytes) -> None:
    """End the run as its messages say: deleting what they name, or after the file is whole again."""
    for _ in range(3):
        try:
            finish(out)
            return
        except Fo1Error as error:
            message = str(error)
            assert "\n" not in message
        if named := _TO_DELETE.search(message):
            target = damaged if named[1] == "it" else Path(named[1])
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        else:
            assert re.search("another --out", message), message
            damaged.write_bytes(undamaged)
    finish(out)


@pytest.mark.parametrize("file", FILES)
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_a_changed_bit_costs_no_row(
    tmp_path_factory: pytest.TempPathFactory, unfinished: Path, whole: Path, file: str, data: st.DataObject
) -> None:
    out = tmp_path_factory.mktemp("run") / "d"
    shutil.copytree(unfinished, out)
    damaged = data.draw(st.sampled_from(sorted((out / ".run").glob(file))))
    undamaged = damaged.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(undamaged) - 1))
    changed = bytearray(undamaged)
    changed[bit // 8] ^= 1 << bit % 8
    damaged.write_bytes(changed)

    go_on(out, damaged, undamaged)

    assert content(out) == content(whole)
    assert validate_dataset(str(out)) == []
    shutil.rmtree(out)


def test_files_of_older_releases_have_no_checksum(tmp_path: Path, unfinished: Path, whole: Path) -> None:
    shutil.copytree(unfinished, tmp_path / "d")
    for pattern in FILES:
        for path in (tmp_path / "d/.run").glob(pattern):
            document = json.loads(path.read_text())
            del document["crc32"]
            path.write_text(json.dumps(document))
    assert finish(tmp_path / "d").files == begin(whole).manifest.files
    assert content(tmp_path / "d") == content(whole)


class ForgetfulStore(Store):
    """A store whose listing still names a file that was deleted."""

    def list(self, folder: str = "") -> list[str]:
        return [*super().list(folder), f"{folder}/0123456789abcdef.json"]


def test_a_marker_that_is_listed_and_gone_is_of_no_done_shard(unfinished: Path) -> None:
    done = DoneShards(ForgetfulStore(str(unfinished)), RUN)
    done.load()
    assert len(done) == 5


def test_of_a_replay_only_its_own_work_is_deleted(tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "d"
    shutil.copytree(whole, out)
    before = content(out)

    def replay() -> DatasetRun:
        return open_run(str(out), FINGERPRINT, {}, replay=True)

    def label() -> None:
        for shard in range(2):
            replay().write_shard(make_shard(shard), [make_row(99 + shard)], [], "r")

    label()
    (group,) = replay().plan_groups(2, LIMITS)[0].take_ready()
    replay().gather(group, "r")
    (marker,) = (out / ".run/replay-2/groups").glob("*.json")
    marker.write_bytes(marker.read_bytes()[:-9])
    message = rf"{marker} is damaged: delete {out}/.run/replay-2 and run again$"
    with pytest.raises(StorageError, match=message):
        replay().seal("made-up")

    shutil.rmtree(out / ".run/replay-2")
    assert content(out) == before
    label()
    replay().seal("made-up")
    assert len(content(out)["train"]) == len(before["train"]) + 2
