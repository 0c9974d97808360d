"""Whether images should be decoded on CPU nodes: how long a GPU would wait for its own node to decode them.

    python -m tools.decode_elsewhere [--gpu-s 0.5 0.1 0.02] [--cores 2 4 8] [--waiting-mp 100]

Measures the processor seconds in which a labeller's reader reads, decodes and resizes a JPEG for VLM-FO1's
towers. Then the read-ahead of a labeller runs with these seconds as pauses: a read holds one of the node's
cores, and the GPU takes the stated seconds an image (an assumption). Prints the share of its time that the
GPU works; with CPU nodes it would be 1 at best. Not in it: what a labeller's own thread does between batches,
and the store.
"""

import argparse
import io
import json
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fo1_data.labelling.read_ahead import MAX_WAITING_PIXELS_OF_GPU, ReadAhead
from fo1_data.labelling.reading import EntryReader, ReadImage, ReadResult
from fo1_data.model.presets import PRESETS
from fo1_data.model.processing import ImageProcessor
from fo1_data.synthetic.scenes import make_scene
from schemas.corpus import CorpusImage
from schemas.jobs import RunConfig

SIDES = ("640x480", "1600x1200", "4000x3000")
TIMES, BATCH, BATCHES = 5, 8, 6
NOISE = 8.0


def measure_read(wh: tuple[int, int]) -> tuple[ReadResult, float]:
    """A read JPEG of this size, and the processor seconds of one reading: the least of some."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.jpg"
        path.write_bytes(_jpeg(wh))
        reader = EntryReader(
            RunConfig(corpus=folder, out=folder), ImageProcessor(None, PRESETS["vlm-fo1-3b"]).resize
        )
        seconds = []
        for _ in range(TIMES):
            started_s = time.process_time()
            result = reader.read(CorpusImage(uri=str(path)))
            seconds.append(time.process_time() - started_s)
    return result, min(seconds)


def share_at_work(result: ReadResult, read_s: float, cores: int, gpu_s: float, waiting_pixels: int) -> float:
    """The share of its time that a GPU works whose node decodes: from the first batch to the last."""
    assert isinstance(result.image, ReadImage)
    num_pixels, free = result.image.num_pixels, threading.Semaphore(cores)

    def read(_: CorpusImage, before_pixels: Callable[[int], None]) -> ReadResult:
        before_pixels(num_pixels)
        with free:
            time.sleep(read_s)
        return result

    entries: Sequence[CorpusImage] = [CorpusImage(uri=str(number)) for number in range(BATCH * BATCHES)]
    ahead = ReadAhead(read, BATCH, waiting_pixels)
    reading = ahead.start(entries)
    batch, started_s = ahead.next_batch(reading), time.monotonic()
    while batch is not None:
        time.sleep(gpu_s * batch.num_entries)
        batch = ahead.next_batch(reading)
    ahead.finish(reading)
    return gpu_s * len(entries) / (time.monotonic() - started_s)


def _jpeg(wh: tuple[int, int]) -> bytes:
    """A scene with the noise of a camera, which decides how long a JPEG takes."""
    pixels = np.asarray(make_scene(0).image.convert("RGB").resize(wh), dtype=np.float32)
    noisy = pixels + np.random.default_rng(0).normal(0.0, NOISE, pixels.shape)
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def main() -> None:
    """Print a line of JSON for each size, number of cores and time of the GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--gpu-s", type=float, nargs="+", default=[0.5, 0.1, 0.02])
    parser.add_argument("--cores", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument(
        "--waiting-mp", type=int, default=MAX_WAITING_PIXELS_OF_GPU // 10**6, help="megapixels"
    )
    parser.add_argument("--sides", nargs="+", default=SIDES)
    given = parser.parse_args()
    for sides in given.sides:
        width, height = map(int, sides.split("x"))
        result, read_s = measure_read((width, height))
        for cores in given.cores:
            shares = {
                f"gpu_{gpu_s}_s": round(
                    share_at_work(result, read_s, cores, gpu_s, given.waiting_mp * 10**6), 3
                )
                for gpu_s in given.gpu_s
            }
            figures = {"sides": sides, "read_s": round(read_s, 3), "cores": cores, **shares}
            print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
