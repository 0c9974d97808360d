"""How long the end of a run takes: markers and small Parquet files are made up, then the dataset is sealed.

    python -m fo1_data.benchmarks.finishing_speed FOLDER 1250 5000 20000 [--ungathered]

prints processor seconds and the largest resident memory for each number of shards, each in a process of its
own, from the reading of the markers by a resumed run to the manifest. As in a run, the files of shards are
gathered; `--ungathered`: they are three for each shard. FOLDER is emptied.
"""

import hashlib
import json
import resource
import shutil
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from fo1_data.dataset.layout import RUN, group_folder, group_marker, marker, try_folder
from fo1_data.dataset.parquet_files import encode_rows
from fo1_data.dataset.writer import open_run
from schemas.dataset import (
    SCHEMA_REVISION,
    Counts,
    FileLimits,
    GroupReport,
    ShardFile,
    ShardImage,
    ShardMarker,
)

SPLITS = ("test", "train", "validation")
IMAGES_A_SHARD = 32
FINGERPRINT = {"made": "up"}


def make_up_run(out: Path, num_shards: int, is_gathered: bool) -> None:
    """A run in `out` whose shards of 32 images, in three splits, are all done."""
    open_run(str(out), FINGERPRINT, {})
    (out / marker(RUN, "-")).parent.mkdir(parents=True)
    for index in range(num_shards):
        files = _files(out, try_folder(RUN, index, "t"), exist=not is_gathered)
        text = _marker(index, files).model_dump_json()
        (out / marker(RUN, f"{index:016x}")).write_text(text)
    if is_gathered:
        (out / group_marker(RUN, 0)).parent.mkdir(parents=True)
        size = FileLimits().rows // IMAGES_A_SHARD
        for first in range(0, num_shards, size):
            group = GroupReport(
                first_index=first,
                last_index=min(first + size, num_shards) - 1,
                try_id="t",
                files=_files(out, group_folder(RUN, first, "t")),
            )
            (out / group_marker(RUN, first)).write_text(group.model_dump_json())


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


def _marker(index: int, files: list[ShardFile]) -> ShardMarker:
    names = [f"{index:08d}-{position:02d}" for position in range(IMAGES_A_SHARD)]
    return ShardMarker(
        shard_id=f"{index:016x}",
        index=index,
        try_id="t",
        files=files,
        images=[
            ShardImage(
                image_id=hashlib.sha256(name.encode()).hexdigest(), uris=[f"s3://bucket/images/{name}.jpg"]
            )
            for name in names
        ],
        counts=Counts(images=IMAGES_A_SHARD),
    )


def finish_run(out: Path) -> dict[str, float]:
    """Resume and seal the run in `out`; processor seconds of this process and its peak memory in MiB."""
    run = open_run(str(out), FINGERPRINT, {})
    started_s = time.process_time()
    done = run.done_shards()
    read_s = time.process_time()
    manifest = run.seal("made-up", shard_ids=list(done))
    sealed_s = time.process_time()
    return {
        "shards": len(done),
        "files": len(manifest.files),
        "markers_s": round(read_s - started_s, 2),
        "seal_s": round(sealed_s - read_s, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main() -> None:
    """Measure the numbers of shards that the command line names."""
    folder, *sizes = (word for word in sys.argv[1:] if word != "--ungathered")
    if sizes == ["--finish"]:
        print(json.dumps(finish_run(Path(folder))))
        return
    for size in sizes:
        shutil.rmtree(folder, ignore_errors=True)
        make_up_run(Path(folder), int(size), is_gathered="--ungathered" not in sys.argv)
        subprocess.run([sys.executable, "-m", str(__spec__.name), folder, "--finish"], check=True)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
