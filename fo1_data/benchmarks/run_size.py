"""What the driver of a run takes at any size: planning, resuming and finishing, in time and memory.

    python -m fo1_data.benchmarks.run_size FOLDER 1000000 3000000 10000000 [--repeated 0.01] [--ungathered]

lists a made-up list of addresses, writes the markers that the labellers of the run would have left, and
prints processor seconds, wall seconds and the largest resident memory of each step; each size in a process of
its own. All that is timed is the code of a run. Shards have `--shard-size` images, by default 100; files
are empty. As in a run, the files of shards are gathered; `--ungathered`: they are three for each shard.
`--repeated`: the share of images whose bytes lie in two shards. FOLDER is emptied. Linux only.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fo1_data.dataset.checked_json import with_checksum
from fo1_data.dataset.layout import RUN, group_folder, group_marker, marker, try_folder
from fo1_data.dataset.parquet_files import encode_rows
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.runs.active_run import open_planned, work_on
from fo1_data.runs.plan import PlannedRun, plan_run
from fo1_data.runs.watcher import Unwatched
from schemas.dataset import SCHEMA_REVISION, Counts
from schemas.jobs import RunConfig
from schemas.shards import FileLimits, GroupReport, ShardFile, ShardMarker

SPLITS = ("test", "train", "validation")
_ADDRESS = "s3://bucket/images/{:09d}.jpg"
_IDENTITY = LabellerIdentity(
    model_name="made-up",
    model_sha256="0" * 64,
    model_licence=None,
    proposer_name="corpus",
    proposer_sha256="0" * 64,
    proposer_licence=None,
    prompts_version="0",
    dtype="float32",
)


def run_config(folder: Path, shard_size: int) -> RunConfig:
    """The settings of the run in `folder`, whose corpus is a text list of addresses."""
    return RunConfig(corpus=str(folder / "addresses.txt"), out=str(folder / "out"), shard_size=shard_size)


def write_addresses(folder: Path, num_images: int) -> None:
    """The corpus of the run in `folder`."""
    with (folder / "addresses.txt").open("w") as file:
        file.writelines(f"{_ADDRESS.format(number)}\n" for number in range(num_images))


def make_up_markers(out: Path, planned: PlannedRun, repeated: float, is_gathered: bool) -> None:
    """Mark all shards of the run in `out` done, with rows in three splits."""
    (out / marker(RUN, "-")).parent.mkdir(parents=True)
    for index, shard_id in enumerate(planned.shards.ids()):
        files = _files(out, try_folder(RUN, index, "t"), exist=not is_gathered)
        document = _marker(planned, index, shard_id, files, repeated)
        (out / marker(RUN, shard_id)).write_bytes(with_checksum(document.encode()))
    if is_gathered:
        _make_up_groups(out, len(planned.shards), planned.config.shard_size)


def _make_up_groups(out: Path, num_shards: int, shard_size: int) -> None:
    (out / group_marker(RUN, 0)).parent.mkdir(parents=True)
    size = FileLimits().rows // shard_size
    for first in range(0, num_shards, size):
        group = GroupReport(
            first_index=first,
            last_index=min(first + size, num_shards) - 1,
            try_id="t",
            files=_files(out, group_folder(RUN, first, "t")),
        )
        (out / group_marker(RUN, first)).write_bytes(with_checksum(group.model_dump_json().encode()))


def _files(out: Path, folder: str, exist: bool = True) -> list[ShardFile]:
    data = _empty_file()
    if exist:
        (out / folder).mkdir(parents=True)
        for split in SPLITS:
            (out / folder / f"{split}.parquet").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return [
        ShardFile(
            split=split,
            path=f"{folder}/{split}.parquet",
            num_rows=0,
            num_bytes=len(data),
            sha256=digest,
            schema_revision=SCHEMA_REVISION,
        )
        for split in SPLITS
    ]


@cache
def _empty_file() -> bytes:
    return encode_rows([])


def _marker(planned: PlannedRun, index: int, shard_id: str, files: list[ShardFile], repeated: float) -> str:
    """Of the images, the share `repeated` has the bytes of the image half as far into the corpus."""
    every = round(1 / repeated) if repeated else 0
    num_images = planned.shards.num_images(shard_id) or 0
    images = []
    start = index * planned.config.shard_size
    for place in range(start, start + num_images):
        number = place // 2 if every and place % every == every // 2 else place
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        images.append(
            f'{{"image_id":"{digest}","uris":["{_ADDRESS.format(place)}"],"annotations_sha256":null}}'
        )
    done = ShardMarker(
        shard_id=shard_id,
        index=index,
        try_id="t",
        files=files,
        images=[],
        counts=Counts(images=num_images),
        row_bytes=num_images,
    )
    # A model for each image would take longer than all that is measured.
    return done.model_dump_json().replace('"images":[]', f'"images":[{",".join(images)}]')


def measure(folder: Path, shard_size: int, repeated: float, is_gathered: bool) -> Iterator[dict[str, Any]]:
    """The figures of each step of the run in `folder`."""
    config = run_config(folder, shard_size)
    with _measured("plan") as figures:
        planned = plan_run(config)
    yield figures | {"shards": len(planned.shards)}
    out = folder / "out"
    dataset = open_planned(config, planned, _IDENTITY, {})
    make_up_markers(out, planned, repeated, is_gathered)
    with _measured("resume") as figures:
        working = work_on(config, planned, dataset, Unwatched())
        run = working.__enter__()
    yield figures | {"left": len(run.todo)}
    with _measured("finish") as figures:
        manifest = run.finish(_IDENTITY)
    working.__exit__(None, None, None)
    yield figures | {
        "files": len(manifest.files),
        "duplicates": len(manifest.duplicates),
        "manifest_bytes": (out / "manifest.json").stat().st_size,
    }


@contextmanager
def _measured(step: str) -> Iterator[dict[str, Any]]:
    """What a block takes, as a dictionary that is filled when it ends."""
    figures: dict[str, Any] = {"step": step}
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    cpu_s, wall_s = time.process_time(), time.monotonic()
    yield figures
    figures["cpu_s"] = round(time.process_time() - cpu_s, 2)
    figures["wall_s"] = round(time.monotonic() - wall_s, 2)
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    figures["peak_mib"] = int(peak.split()[1]) // 1024


def main() -> None:
    """Measure the numbers of images that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("images", type=int, nargs="+")
    parser.add_argument("--shard-size", type=int, default=100)
    parser.add_argument("--repeated", type=float, default=0.0)
    parser.add_argument("--ungathered", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    for num_images in given.images:
        if not given.here:
            command = [sys.executable, "-m", str(__spec__.name), str(given.folder), str(num_images), "--here"]
            options = ["--shard-size", str(given.shard_size), "--repeated", str(given.repeated)]
            flags = ["--ungathered"] if given.ungathered else []
            subprocess.run([*command, *options, *flags], check=True)
            continue
        shutil.rmtree(given.folder, ignore_errors=True)
        given.folder.mkdir(parents=True)
        write_addresses(given.folder, num_images)
        for figures in measure(given.folder, given.shard_size, given.repeated, not given.ungathered):
            print(json.dumps({"images": num_images, **figures}), flush=True)
        shutil.rmtree(given.folder)


if __name__ == "__main__":
    main()
