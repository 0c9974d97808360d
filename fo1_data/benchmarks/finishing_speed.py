"""How long the end of a run takes: markers and small Parquet files are made up, then the dataset is sealed.

    python -m fo1_data.benchmarks.finishing_speed FOLDER 1000 4000 16000

prints processor seconds and the largest resident memory for each number of shards, each in a process of its
own, begins with a resumed run (the markers are read) and ends with the manifest. FOLDER is emptied.
"""

import hashlib
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from fo1_data.dataset.layout import RUN, marker, try_folder
from fo1_data.dataset.parquet_files import encode_rows
from fo1_data.dataset.writer import open_run
from schemas.dataset import Counts, ShardFile, ShardImage, ShardMarker

SPLITS = ("test", "train", "validation")
IMAGES_A_SHARD = 32
FINGERPRINT = {"made": "up"}


def make_up_run(out: Path, num_shards: int) -> None:
    """A run in `out` whose shards of 32 images and three files are all done."""
    open_run(str(out), FINGERPRINT, {})
    data = encode_rows([])
    digest = hashlib.sha256(data).hexdigest()
    (out / marker(RUN, "-")).parent.mkdir(parents=True)
    for index in range(num_shards):
        folder = out / try_folder(RUN, index, "t")
        folder.mkdir(parents=True)
        for split in SPLITS:
            (folder / f"{split}.parquet").write_bytes(data)
        (out / marker(RUN, f"{index:016x}")).write_text(_marker(index, len(data), digest).model_dump_json())


def _marker(index: int, num_bytes: int, digest: str) -> ShardMarker:
    names = [f"{index:08d}-{position:02d}" for position in range(IMAGES_A_SHARD)]
    return ShardMarker(
        shard_id=f"{index:016x}",
        index=index,
        try_id="t",
        files=[
            ShardFile(
                split=split,
                path=f"{try_folder(RUN, index, 't')}/{split}.parquet",
                num_rows=0,
                num_bytes=num_bytes,
                sha256=digest,
            )
            for split in SPLITS
        ],
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
    folder, *sizes = sys.argv[1:]
    if sizes == ["--finish"]:
        print(json.dumps(finish_run(Path(folder))))
        return
    for size in sizes:
        shutil.rmtree(folder, ignore_errors=True)
        make_up_run(Path(folder), int(size))
        subprocess.run([sys.executable, "-m", str(__spec__.name), folder, "--finish"], check=True)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
