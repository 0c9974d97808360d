"""A writer killed with SIGKILL in any write, also while it gathers: run again, the dataset is the same."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.versions.compare import compare_datasets

WRITER = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from factories import make_reject, make_row, make_shard
from fo1_data.dataset.writer import open_run
from schemas.shards import FileLimits

out, deadly = sys.argv[2], int(sys.argv[3])
calls = 0
real_fsync = os.fsync

def fsync(descriptor):
    # The file is written, under its passing name, and not yet where it belongs.
    global calls
    calls += 1
    if calls == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    real_fsync(descriptor)

os.fsync = fsync
run = open_run(out, {"a": 1}, {})
if run.manifest is None:
    with run.lease() as lease:
        done = run.done_shards()
        for index in range(3):
            shard = make_shard(index)
            if shard.shard_id not in done:
                rows = [make_row(10 * index), make_row(1, uri=f"again-{index}")]
                run.write_shard(shard, rows, [make_reject(f"broken-{index}")], f"{os.getpid()}")
        for group in run.plan_groups(3, FileLimits())[0].take_ready():
            run.gather(group, f"{os.getpid()}")
        run.seal("made-up", lease=lease)
print(calls)
"""


def write(out: Path, deadly: int = 0) -> subprocess.CompletedProcess[str]:
    tests = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-c", WRITER, tests, str(out), str(deadly)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "d"
    assert write(out).returncode == 0
    return out


@pytest.mark.parametrize("deadly", [3, 5, 8, 12, 13, 14, 15, 17, 19])
def test_a_killed_writer_resumes_to_the_same_dataset(tmp_path: Path, undisturbed: Path, deadly: int) -> None:
    out = tmp_path / "d"
    killed = write(out, deadly)
    assert killed.returncode == -signal.SIGKILL
    assert not (out / "manifest.json").exists()
    assert write(out).returncode == 0
    assert compare_datasets(str(out), str(undisturbed)).is_empty
    rejects = [
        [reject.uri for reject in open_dataset(str(folder)).rejects()] for folder in (out, undisturbed)
    ]
    assert rejects[0] == rejects[1] == ["broken-0", "broken-1", "broken-2"]
    assert validate_dataset(str(out)) == []
    left = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    fixed = {str(path.relative_to(undisturbed)) for path in undisturbed.rglob("*") if path.is_file()}
    outside_run = {path for path in left if not path.startswith(".run/")}
    assert outside_run == {path for path in fixed if not path.startswith(".run/")}
