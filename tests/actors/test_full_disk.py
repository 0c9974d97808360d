"""A disk that fills up in mid-run: one clear line, nothing half-written counts, the same run goes on."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from quick_labeller import FACTORY
from run_probes import comparable

from fo1_data.errors import StorageError
from fo1_data.runs.in_process import run_in_process
from schemas.jobs import RunConfig


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no small disk: mounting one needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_fails_with_one_line_and_goes_on(
    small_corpus: Path, undisturbed: Path, small_disk: Path
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(900_000))
    out = small_disk / "out"
    config = RunConfig(corpus=str(small_corpus), out=str(out), shard_size=4)
    with pytest.raises(StorageError, match=r"no space left at .*run the same command again") as caught:
        run_in_process(config, None, FACTORY)
    assert "\n" not in str(caught.value)
    assert not (out / "manifest.json").exists()

    ballast.unlink()
    run_in_process(config, None, FACTORY)
    assert comparable(out) == comparable(undisturbed)
