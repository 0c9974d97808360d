"""What tests of runs look at: two datasets' rows, the processes of a run, its markers."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from fo1_data.dataset.reader import open_dataset

HERE = Path(__file__).parent


def comparable(out: Path) -> list[dict[str, Any]]:
    """The rows of a dataset by image, less what may differ between two runs of the same work."""
    rows = [row.model_dump(mode="json", exclude={"provenance"}) for row in open_dataset(str(out)).rows()]
    for row in rows:
        for label in _labels(row):
            label["confidence"] = None if label["confidence"] is None else round(label["confidence"], 3)
            label["signals"] = [(signal["name"], round(signal["value"], 3)) for signal in label["signals"]]
    return sorted(rows, key=lambda row: row["image_id"])


def rejected(out: Path) -> list[tuple[str, str, str]]:
    """The rejects of a dataset: file name, stage, reason."""
    return sorted((Path(r.uri).name, str(r.stage), r.reason) for r in open_dataset(str(out)).rejects())


def _labels(row: dict[str, Any]) -> list[dict[str, Any]]:
    of_regions = [label for region in row["regions"] for label in region["labels"]]
    return of_regions + [part["label"] for key in ("groundings", "counts", "answers") for part in row[key]]


def labeller_processes(root: psutil.Process | None = None) -> list[psutil.Process]:
    """The labelling processes below `root` (default: this process)."""
    processes = []
    for process in (root or psutil.Process()).children(recursive=True):
        try:
            if process.cmdline() and process.cmdline()[0].startswith("ray::Labeller"):
                processes.append(process)
        except psutil.Error:
            continue
    return processes


def start_driver(*arguments: str, **settings: str) -> subprocess.Popen[str]:
    """`quick_driver.py` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(HERE / "quick_driver.py"), *arguments],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for a condition, looking at it now and then; fail where it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{condition} did not come true in {seconds} s"
        time.sleep(0.02)


def done_markers(out: Path) -> int:
    """How many shards of a run in work are done."""
    folder = out / ".run" / "shards"
    return len(list(folder.glob("*.json"))) if folder.is_dir() else 0
