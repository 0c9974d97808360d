"""MosaicML's streaming as a reader of the benchmark: the same rows as MDS shards of encoded images."""

import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.pixels import with_bytes
from fo1_data.dataset.reader import open_dataset

_SHARD_BYTES = 2**22


def read_mosaicml(
    dataset: Path, scratch: Path, epochs: int, loader: Callable[[Any], Iterable[object]]
) -> Iterable[object]:
    """The samples of some epochs, shuffled. Writes the shards to `scratch` if they are not there."""
    import streaming

    folder = scratch / "mds"
    if not folder.exists():
        _write_shards(streaming, dataset, folder)

    class Samples(streaming.StreamingDataset):  # type: ignore[misc]
        def __getitem__(self, at: int) -> dict[str, Any]:
            row = super().__getitem__(at)
            with Image.open(io.BytesIO(row["image"])) as image:
                pixels = np.asarray(image.convert("RGB"))
            captions = json.loads(row["captions"])
            return {"pixels": pixels, "boxes": row["boxes"].reshape(-1, 4), "captions": captions}

    stream = streaming.Stream(local=str(folder), repeat=epochs)
    return loader(Samples(streams=[stream], shuffle=True, batch_size=1))


def _write_shards(streaming: Any, dataset: Path, folder: Path) -> None:
    columns = {"image": "bytes", "boxes": "ndarray:float32", "captions": "str"}
    with streaming.MDSWriter(out=str(folder), columns=columns, size_limit=_SHARD_BYTES) as writer:
        for row, data in with_bytes(open_dataset(str(dataset)).rows("train"), InputLimits()):
            boxes = np.array([region.box_xyxy for region in row.regions], np.float32).reshape(-1)
            captions = json.dumps([region.brief_caption for region in row.regions])
            writer.write({"image": data, "boxes": boxes, "captions": captions})
