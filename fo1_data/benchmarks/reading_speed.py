"""Decoded training samples/s of our reader against other readers of the same rows, in the same run.

Each reader reads an epoch, shuffled, in two worker processes, and gives the same samples: the upright RGB
image, its boxes and their captions. The time runs from the first sample to the last, so that starting a
reader does not count. Our reader, Hugging Face's streaming and WebDataset run in torch's DataLoader; Ray Data
has its own workers. A reader that is not installed or fails is reported and not compared.
"""

import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.exports.webdataset import tar_of
from fo1_data.dataset.pixels import with_bytes
from fo1_data.dataset.reader import open_dataset

WORKERS = 2
_BUFFER_ROWS = 256
_NUM_TARS = 8

# Pixels (H, W, 3) uint8, boxes (N, 4) float32, captions.
Decoded = tuple[npt.NDArray[Any], npt.NDArray[Any], list[str | None]]


Reader = Callable[[], Iterable[object]]


def readers_of(dataset: Path, scratch: Path) -> dict[str, Reader]:
    """The readers of the train split of a published dataset; each call starts a new epoch.

    Writes the dataset's WebDataset tars to `scratch`.
    """
    tars = write_tars(dataset, scratch)
    return {
        "fo1": lambda: _read_fo1(dataset),
        "datasets": lambda: _read_datasets(dataset, scratch),
        "webdataset": lambda: _read_webdataset(tars),
        "ray_data": lambda: _read_ray_data(dataset),
    }


def measure_readers(readers: Mapping[str, Reader], rounds: int = 1) -> dict[str, Any]:
    """Rows/s of each reader, the best of `rounds`; the document of `fo1 bench reader --json`."""
    rows_per_s: dict[str, float] = {}
    rows: dict[str, int] = {}
    failed: dict[str, str] = {}
    for _ in range(rounds):
        for name, reader in readers.items():
            try:
                count, seconds = _timed(reader())
            except Exception as error:  # an error of another reader must not fail this command
                failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                continue
            rows[name] = count
            rows_per_s[name] = max(rows_per_s.get(name, 0.0), round((count - 1) / seconds, 2))
    others = [value for name, value in rows_per_s.items() if name != "fo1"]
    ratio = round(rows_per_s["fo1"] / max(others), 3) if others and "fo1" in rows_per_s else None
    return {"rows_per_s": rows_per_s, "rows": rows, "ratio_to_fastest": ratio, "failed": failed}


def _timed(samples: Iterable[object]) -> tuple[int, float]:
    """The number of samples, and the seconds from the first to the last."""
    count, started_s = 0, 0.0
    for _ in samples:
        if count == 0:
            started_s = time.perf_counter()
        count += 1
    return count, max(time.perf_counter() - started_s, 1e-9)


def _loader(dataset: Any) -> Iterable[object]:
    from torch.utils.data import DataLoader

    return DataLoader(dataset, batch_size=None, num_workers=WORKERS, prefetch_factor=4, collate_fn=_identity)


def _identity(sample: object) -> object:
    return sample


def _read_fo1(dataset: Path) -> Iterable[object]:
    from fo1_data.training.samples.stream import SampleStream

    return _loader(SampleStream([str(dataset)], split="train"))


def _read_datasets(dataset: Path, scratch: Path) -> Iterable[object]:
    import datasets

    rows = datasets.load_dataset(
        str(dataset), split="train", streaming=True, cache_dir=str(scratch / "cache")
    )
    shuffled = rows.shuffle(seed=0, buffer_size=_BUFFER_ROWS)
    return _loader(shuffled.map(_datasets_row_to_sample, remove_columns=rows.column_names))


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


def _read_webdataset(tars: list[str]) -> Iterable[object]:
    import webdataset

    stream = webdataset.WebDataset(tars, shardshuffle=len(tars), nodesplitter=webdataset.split_by_node)
    return _loader(stream.shuffle(_BUFFER_ROWS).map(tar_entry_to_sample))


def tar_entry_to_sample(sample: dict[str, Any]) -> Decoded:
    """A decoded sample from an entry of a WebDataset tar (files by extension)."""
    data = next(value for key, value in sample.items() if key in ("png", "jpg", "webp", "tif", "gif", "bmp"))
    row = json.loads(sample["json"])
    return _sample(Image.open(io.BytesIO(data)).convert("RGB"), row["regions"])


def _read_ray_data(dataset: Path) -> Iterator[object]:
    import ray

    files = sorted(str(path) for path in (dataset / "data").glob("train-*.parquet"))
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
