"""Decoded training samples/s of our reader, beside others that read the same rows, in one run.

All read one epoch, shuffled, in two worker processes, and give the same sample: the upright RGB image,
its boxes and their captions. Time runs from the first sample to the last, so that nobody's start counts.
Our own, Hugging Face's streaming and WebDataset run in torch's DataLoader; Ray Data has workers of its
own. A reader that is not installed or does not run is told as such and not compared.
"""

import io
import json
import time
from collections.abc import Callable, Iterable, Iterator
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
_TARS = 8

Decoded = tuple[npt.NDArray[Any], npt.NDArray[Any], list[str | None]]


def measure_readers(dataset: Path, scratch: Path, rounds: int = 1) -> dict[str, Any]:
    """Rows/s of each reader over the train split of a published dataset; the best of `rounds`."""
    tars = write_tars(dataset, scratch)
    readers: dict[str, Callable[[], Iterable[object]]] = {
        "fo1": lambda: _ours(dataset),
        "datasets": lambda: _datasets(dataset, scratch),
        "webdataset": lambda: _webdataset(tars),
        "ray_data": lambda: _ray_data(dataset),
    }
    rows_per_s: dict[str, float] = {}
    rows: dict[str, int] = {}
    failed: dict[str, str] = {}
    for _ in range(rounds):
        for name, reader in readers.items():
            try:
                count, seconds = _timed(reader())
            except Exception as error:  # whatever another reader raises is no failure of this command
                failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
                continue
            rows[name] = count
            rows_per_s[name] = max(rows_per_s.get(name, 0.0), round((count - 1) / seconds, 2))
    others = [value for name, value in rows_per_s.items() if name != "fo1"]
    ratio = round(rows_per_s["fo1"] / max(others), 3) if others and "fo1" in rows_per_s else None
    return {"rows_per_s": rows_per_s, "rows": rows, "ratio_to_fastest": ratio, "failed": failed}


def _timed(samples: Iterable[object]) -> tuple[int, float]:
    count, started_s = 0, 0.0
    for _ in samples:
        if count == 0:
            started_s = time.perf_counter()
        count += 1
    return count, max(time.perf_counter() - started_s, 1e-9)


def _loader(dataset: Any) -> Iterable[object]:
    from torch.utils.data import DataLoader

    return DataLoader(dataset, batch_size=None, num_workers=WORKERS, prefetch_factor=4, collate_fn=_as_it_is)


def _as_it_is(sample: object) -> object:
    return sample


def _ours(dataset: Path) -> Iterable[object]:
    from fo1_data.training.samples.stream import SampleStream

    return _loader(SampleStream([str(dataset)], split="train"))


def _datasets(dataset: Path, scratch: Path) -> Iterable[object]:
    import datasets

    rows = datasets.load_dataset(
        str(dataset), split="train", streaming=True, cache_dir=str(scratch / "cache")
    )
    return _loader(
        rows.shuffle(seed=0, buffer_size=_BUFFER_ROWS).map(_of_hugging_face, remove_columns=rows.column_names)
    )


def _of_hugging_face(row: dict[str, Any]) -> dict[str, Any]:
    image, boxes, captions = _sample(row["image"].convert("RGB"), row["regions"])
    return {"pixels": image, "boxes": boxes, "captions": captions}


def write_tars(dataset: Path, scratch: Path) -> list[str]:
    """The rows of a dataset's train split as WebDataset tars, `_TARS` of them."""
    rows = list(with_bytes(open_dataset(str(dataset)).rows("train"), InputLimits()))
    size = -(-len(rows) // _TARS)
    paths = []
    for number, start in enumerate(range(0, len(rows), size)):
        path = scratch / f"train-{number:05d}.tar"
        path.write_bytes(tar_of(rows[start : start + size]))
        paths.append(str(path))
    return paths


def _webdataset(tars: list[str]) -> Iterable[object]:
    import webdataset

    stream = webdataset.WebDataset(tars, shardshuffle=len(tars), nodesplitter=webdataset.split_by_node)
    return _loader(stream.shuffle(_BUFFER_ROWS).map(_of_tar))


def _of_tar(sample: dict[str, Any]) -> Decoded:
    data = next(value for key, value in sample.items() if key in ("png", "jpg", "webp", "tif", "gif", "bmp"))
    row = json.loads(sample["json"])
    return _sample(Image.open(io.BytesIO(data)).convert("RGB"), row["regions"])


def _ray_data(dataset: Path) -> Iterator[object]:
    import ray

    files = sorted(str(path) for path in (dataset / "data").glob("train-*.parquet"))
    rows = ray.data.read_parquet(files, columns=["image", "regions"], shuffle="files")
    decoded = rows.map(_of_ray, compute=ray.data.TaskPoolStrategy(size=WORKERS))
    batches: Any = decoded.iter_batches(
        batch_size=16, batch_format="pandas", local_shuffle_buffer_size=_BUFFER_ROWS
    )
    for batch in batches:
        yield from batch.to_dict("records")


def _of_ray(row: dict[str, Any]) -> dict[str, Any]:
    image = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
    pixels, boxes, captions = _sample(image, row["regions"])
    return {"pixels": pixels, "boxes": boxes.tolist(), "captions": captions}


def _sample(image: Image.Image, regions: Any) -> Decoded:
    boxes = np.array([list(region["box_xyxy"]) for region in regions], np.float32).reshape(-1, 4)
    return np.asarray(image), boxes, [region["brief_caption"] for region in regions]
