"""A TIFF of 20,000 x 20,000 pixels (1.2 GB) labelled in tiles by `fo1 label`: memory, and what a kill costs.

`measure_memory`: the highest resident memory of the process, from its start to its end. `measure_resume`: the
same command is killed once half of the tiles are done, and started again; beside both processes stands which
stored tiles were there before and after, and whether the row is that of the undisturbed run.
"""

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from fo1_data.dataset.reader import open_dataset
from fo1_data.runs.step_file import SUFFIX
from fo1_data.synthetic.scenes import make_scene

SCENE_PX = 336
LARGE_PX = 20_000
_POLL_S = 0.2
# Columns that tell when and by whom a row was made, not what it says.
_NOT_CONTENT = ("uri", "uris", "image", "provenance")


def measure_memory(folder: Path, seed: int, tile_px: str) -> dict[str, Any]:
    """Label a TIFF of 20,000 x 20,000 pixels in a process of its own."""
    path = large_picture(folder, seed)
    started_s = time.monotonic()
    subprocess.run(_command(path, folder / "large", tile_px), check=True, stdout=subprocess.DEVNULL)
    row = row_of(folder / "large")
    return {
        "file_bytes": path.stat().st_size,
        "tiles": json.loads(row["meta"])["tiles"],
        "regions": len(row["regions"]),
        "wall_s": round(time.monotonic() - started_s, 1),
        **_used(),
    }


def measure_resume(folder: Path, seed: int, tile_px: str) -> dict[str, Any]:
    """Kill the command of `measure_memory` in the middle and start it again, in folders beside that run's."""
    path, out = large_picture(folder, seed), folder / "resumed"
    with subprocess.Popen(_command(path, out, tile_px), stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and _share_done(out) < 0.5:
            time.sleep(_POLL_S)
        process.send_signal(signal.SIGKILL)
    killed_at = _progress(out)
    stored = _stored_steps(out)
    document = {"killed_at": killed_at, "steps_stored": len(stored), "until_killed": _used()}
    subprocess.run(_command(path, out, tile_px), check=True, stdout=subprocess.DEVNULL)
    document["both"] = _used()
    if (folder / "large").exists():
        rows = [_content(row_of(folder / name)) for name in ("large", "resumed")]
        document["row_equals_undisturbed"] = rows[0] == rows[1]
    return document


def row_of(out: Path) -> dict[str, Any]:
    """The first row of a dataset."""
    dataset = open_dataset(str(out))
    file = next(iter(dataset.data_files()))
    row: dict[str, Any] = pq.read_table(out / file.path).slice(0, 1).to_pylist()[0]
    return row


def large_picture(folder: Path, seed: int) -> Path:
    """Blocks of 2 x 2 scenes on grey, 12 scenes apart, as an uncompressed TIFF written strip by strip; the
    path of it. What is there already is taken."""
    import rasterio
    from rasterio.windows import Window

    path = folder / "large.tif"
    if path.exists():
        return path
    scenes = [
        np.asarray(make_scene(seed + number, canvas_wh=(SCENE_PX, SCENE_PX)).image).transpose(2, 0, 1)
        for number in range(25)
    ]
    grey = np.full_like(scenes[0], 90)
    draw = np.random.default_rng(seed)
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "photometric": "RGB"}
    unfinished = path.with_suffix(".part")
    with rasterio.open(unfinished, "w", width=LARGE_PX, height=LARGE_PX, **profile) as file:
        cells = -(-LARGE_PX // SCENE_PX)
        for top in range(0, LARGE_PX, SCENE_PX):
            height = min(SCENE_PX, LARGE_PX - top)
            has_scenes = [top // SCENE_PX % 12 < 2 and cell % 12 < 2 for cell in range(cells)]
            row = [scenes[draw.integers(len(scenes))] if has else grey for has in has_scenes]
            pixels = np.concatenate(row, axis=2)[:, :height, :LARGE_PX]
            file.write(pixels, window=Window(0, top, LARGE_PX, height))
    unfinished.replace(path)
    return path


def _command(path: Path, out: Path, tile_px: str) -> list[str]:
    command = [sys.executable, "-m", "fo1_data.cli.main", "label", str(path), "--out", str(out)]
    return [*command, "--address", "in-process", "--tile-px", tile_px, "--labels", "brief_caption"]


def _used() -> dict[str, Any]:
    """Of all processes that were waited for: the largest resident memory, and processor time together."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "resident_gb": round(used.ru_maxrss * 1024 / 1e9, 3),
        "processor_s": round(used.ru_utime + used.ru_stime, 1),
    }


def _progress(out: Path) -> dict[str, Any]:
    try:
        document = json.loads((out / ".run" / "progress.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return {name: document.get(name) for name in ("images", "images_total", "tiles_total", "regions")}


def _share_done(out: Path) -> float:
    progress = _progress(out)
    return float((progress.get("images") or 0) / (progress.get("images_total") or 1))


def _stored_steps(out: Path) -> list[Path]:
    return sorted((out / ".run").rglob(f"*{SUFFIX}"))


def _content(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _NOT_CONTENT}
