"""Decoded training samples/s of our reader against other readers of the same rows, in the same run.

Each reader reads epochs, shuffled, with two decoders, and gives the same samples: the upright RGB image, its
boxes and their captions. Ours decodes in two threads, and once more in two worker processes of torch's
DataLoader, as Hugging Face's streaming, WebDataset and MosaicML's streaming do; Ray Data has its own workers.
Each reads one epoch and then several: the difference is what more rows cost, without starting a reader and
without the samples that it has ready before the first one is taken. Processor seconds are those of this
process and of all that it started. A reader that is not installed or fails is reported and not compared.
"""

import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from fo1_data.benchmarks.reading_mosaicml import read_mosaicml
from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.exports.webdataset import tar_of
from fo1_data.dataset.pixels import with_bytes
from fo1_data.dataset.reader import open_dataset

WORKERS = 2
MORE_EPOCHS = 3
_BUFFER_ROWS = 256
_NUM_TARS = 8

# Pixels (H, W, 3) uint8, boxes (N, 4) float32, captions.
Decoded = tuple[npt.NDArray[Any], npt.NDArray[Any], list[str | None]]


# Reads a number of epochs.
Reader = Callable[[int], Iterable[object]]


def readers_of(dataset: Path, scratch: Path) -> dict[str, Reader]:
    """The readers of the train split of a published dataset; each call starts anew.

    Writes the dataset's WebDataset tars to `scratch`, and its MDS shards if MosaicML's streaming is there.
    """
    tars = write_tars(dataset, scratch)
    return {
        "fo1": lambda epochs: _read_fo1(dataset, epochs, threads=WORKERS),
        "fo1_processes": lambda epochs: _loader(_stream(dataset, epochs)),
        "datasets": lambda epochs: _read_datasets(dataset, scratch, epochs),
        "webdataset": lambda epochs: _read_webdataset(tars, epochs),
        "ray_data": lambda epochs: _read_ray_data(dataset, epochs),
        "mosaicml_streaming": lambda epochs: read_mosaicml(dataset, scratch, epochs, _loader),
    }


def measure_readers(readers: Mapping[str, Reader], rounds: int = 1) -> dict[str, Any]:
    """Rows/s of each reader and processor seconds a thousand rows, the best of `rounds` measurements of each.

    Returns the document of `fo1 bench reader --json`.
    """
    short: dict[str, list[_Reading]] = {}
    long: dict[str, list[_Reading]] = {}
    failed: dict[str, str] = {}
    for _ in range(rounds):
        for name, reader in readers.items():
            if name in failed:
                continue
            try:
                readings = _read(reader(1)), _read(reader(1 + MORE_EPOCHS))
            except Exception as error:  # an error of another reader must not fail this command
                failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                continue
            for kept, reading in zip((short, long), readings, strict=True):
                kept.setdefault(name, []).append(reading)
    wall = {name: _cost(short[name], long[name], "wall_s") for name in short}
    processor = {name: _cost(short[name], long[name], "processor_s") for name in short}
    return {
        "rows_per_s": {name: round(1 / cost, 2) for name, cost in wall.items()},
        "processor_s_per_1000_rows": {name: round(1000 * cost, 3) for name, cost in processor.items()},
        "rows": {name: readings[0].rows for name, readings in short.items()},
        "ratio_to_fastest": _ratio(wall),
        "ratio_of_processor_s": _ratio(processor),
        "failed": failed,
    }


class _Reading(NamedTuple):
    """Some epochs read: the number of samples, and the seconds that they took."""

    rows: int
    wall_s: float
    processor_s: float


def _ratio(costs: Mapping[str, float]) -> float | None:
    """The cost of the cheapest other reader as a multiple of ours."""
    others = [cost for name, cost in costs.items() if not name.startswith("fo1")]
    return round(min(others) / costs["fo1"], 3) if others and "fo1" in costs else None


def _cost(short: Sequence[_Reading], long: Sequence[_Reading], seconds: str) -> float:
    """Seconds of one more row, by the fastest reading of each length.

    If others use the machine so much that the longer reading was the faster one: of the longer one's rows.
    """
    low, high = (min(getattr(reading, seconds) for reading in readings) for readings in (short, long))
    more_rows = long[0].rows - short[0].rows
    return float((high - low) / more_rows if high > low else high / long[0].rows)


def _read(samples: Iterable[object]) -> _Reading:
    started_s, processor_s = time.perf_counter(), _processor_s()
    rows = sum(1 for _ in samples)
    return _Reading(rows, time.perf_counter() - started_s, _processor_s() - processor_s)


def _processor_s() -> float:
    """Processor seconds of this process and of all that it started, also of those that have ended."""
    import psutil  # type: ignore[import-untyped]

    total = 0.0
    this = psutil.Process()
    for process in [this, *this.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])  # user, system, and both of its ended children
    return total


def _loader(dataset: Any) -> Iterable[object]:
    from torch.utils.data import DataLoader

    return DataLoader(dataset, batch_size=None, num_workers=WORKERS, prefetch_factor=4, collate_fn=_identity)


def _identity(sample: object) -> object:
    return sample


def _stream(dataset: Path, epochs: int, threads: int = 0) -> Any:
    from fo1_data.training.samples.stream import SampleStream

    rows = SampleStream([str(dataset)], split="train").epoch_rows
    return SampleStream([str(dataset)], split="train", stop=epochs * rows, threads=threads)


def _read_fo1(dataset: Path, epochs: int, threads: int) -> Iterable[object]:
    from torch.utils.data import DataLoader

    return DataLoader(_stream(dataset, epochs, threads), batch_size=None, collate_fn=_identity)


def _read_datasets(dataset: Path, scratch: Path, epochs: int) -> Iterable[object]:
    import datasets

    rows = datasets.load_dataset(
        str(dataset), split="train", streaming=True, cache_dir=str(scratch / "cache")
    ).select_columns(["image", "regions"])
    shuffled = rows.shuffle(seed=0, buffer_size=_BUFFER_ROWS).repeat(epochs)
    return _loader(shuffled.map(_datasets_row_to_sample, remove_columns=["image", "regions"]))


def _datasets_row_to_sample(row: dict[str, Any]) -> dict[str, Any]:
    image, boxes, captions = _sample(row["image"].convert("RGB"), row["regions"])
    return {"pixels": image, "boxes": boxes, "captions": captions}


def write_tars(dataset: Path, scratch: Path) -> list[str]:
    """Write the rows of a dataset's train split as `_NUM_TARS` WebDataset tars; returns their paths."""
    rows = list(with_bytes(open_dataset(str(dataset)).rows("train"), InputLimits()))
    size = -(-len(rows) // _NUM_TARS)
    paths = []
    for number, start in enumerate(range(0, len(rows), size)):
        path = scratch / f"train-{number:05d}.tar"
        path.write_bytes(tar_of(rows[start : start + size]))
        paths.append(str(path))
    return paths


def _read_webdataset(tars: list[str], epochs: int) -> Iterable[object]:
    import webdataset

    stream = webdataset.WebDataset(tars, shardshuffle=len(tars), nodesplitter=webdataset.split_by_node)
    return _loader(stream.shuffle(_BUFFER_ROWS).map(tar_entry_to_sample).repeat(epochs))


def tar_entry_to_sample(sample: dict[str, Any]) -> Decoded:
    """A decoded sample from an entry of a WebDataset tar (files by extension)."""
    data = next(value for key, value in sample.items() if key in ("png", "jpg", "webp", "tif", "gif", "bmp"))
    row = json.loads(sample["json"])
    return _sample(Image.open(io.BytesIO(data)).convert("RGB"), row["regions"])


def _read_ray_data(dataset: Path, epochs: int) -> Iterator[object]:
    import ray

    files = sorted(str(path) for path in (dataset / "data").glob("train-*.parquet")) * epochs
    rows = ray.data.read_parquet(files, columns=["image", "regions"], shuffle="files")
    decoded = rows.map(_ray_row_to_sample, compute=ray.data.TaskPoolStrategy(size=WORKERS))
    batches: Any = decoded.iter_batches(
        batch_size=16, batch_format="pandas", local_shuffle_buffer_size=_BUFFER_ROWS
    )
    for batch in batches:
        yield from batch.to_dict("records")


def _ray_row_to_sample(row: dict[str, Any]) -> dict[str, Any]:
    image = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
    pixels, boxes, captions = _sample(image, row["regions"])
    return {"pixels": pixels, "boxes": boxes.tolist(), "captions": captions}


def _sample(image: Image.Image, regions: Any) -> Decoded:
    boxes = np.array([list(region["box_xyxy"]) for region in regions], np.float32).reshape(-1, 4)
    return np.asarray(image), boxes, [region["brief_caption"] for region in regions]
