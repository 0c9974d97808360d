"""A labeller of tiles for tests of everything around it: bright spots are the regions, and nothing is asked.

Reads tiles for real. TILE_LOG names a file that gets the name of every tile that is labelled; TILE_KILL_AT
kills the process with SIGKILL at that many tiles. A tile named in TILE_RAISES raises.
"""

import os
import signal
from pathlib import Path

import numpy as np

from fo1_data.boxes import as_boxes
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.rejects import reject_from
from fo1_data.corpus.tile_names import tile_name
from fo1_data.corpus.tile_reading import read_tile
from fo1_data.errors import InputReject
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.tiles import TileToLabel
from fo1_data.labelling.work_done import WorkTracker
from schemas.corpus import CorpusImage
from schemas.images import EncodedImage, ImageRow, Reject
from schemas.jobs import RunConfig
from schemas.labels import Source
from schemas.regions import Region, make_region_id

FACTORY = "tile_labeller:TileLabeller"
SPOT_PX = 12


class TileLabeller:
    """Each bright spot of a tile that the tile owns is a region."""

    identity = LabellerIdentity(
        model_name="spots",
        model_sha256="0",
        model_licence=None,
        proposer_name="none",
        proposer_sha256="0",
        proposer_licence=None,
        prompts_version="0",
        dtype="float32",
    )

    def __init__(self, config: RunConfig) -> None:
        self._limits = InputLimits(config.max_pixels, config.max_bytes)
        self._num = 0

    def read_ahead(self, entries: list[CorpusImage]) -> None:
        """Nothing is read ahead."""

    def label_entries(
        self, entries: list[CorpusImage], tracker: WorkTracker
    ) -> tuple[list[ImageRow], list[Reject]]:
        rows, rejects = [], []
        for entry in entries:
            try:
                rows.append(self._label(entry))
            except InputReject as error:
                rejects.append(reject_from(entry, error))
        return rows, rejects

    def _label(self, entry: CorpusImage) -> ImageRow:
        name = tile_name(entry)
        assert name is not None
        self._num += 1
        if self._num == int(os.environ.get("TILE_KILL_AT", "0")):
            os.kill(os.getpid(), signal.SIGKILL)
        with Path(os.environ["TILE_LOG"]).open("a") as log:
            log.write(f"{name}\n")
        if str(name) in os.environ.get("TILE_RAISES", "-"):
            raise RuntimeError("this tile is too much")
        read = read_tile(entry, name, self._limits)
        boxes = _spots(np.asarray(read.image.rgb)[:, :, 0])
        boxes = boxes[read.tile.stays(boxes)]
        row = ImageRow(
            image_id=read.image.image_id,
            uri=entry.name,
            uris=[entry.name],
            corpus="spots",
            split="train",
            image=EncodedImage(path=entry.name),
            width=read.image.width,
            height=read.image.height,
            regions=[
                Region(
                    region_id=make_region_id(read.image.image_id, box),
                    index=index,
                    box_xyxy=tuple(box),
                    box_source=Source.MODEL,
                )
                for index, box in enumerate(boxes.tolist())
            ],
        )
        return TileToLabel(name, read.tile, None).row_to_image(row)


def _spots(values: np.ndarray) -> np.ndarray:
    """The boxes of bright squares whose upper left corner or middle is seen."""
    bright = values > 128
    corner = bright.copy()
    corner[1:] &= ~bright[:-1]
    corner[:, 1:] &= ~bright[:, :-1]
    rows, columns = corner.nonzero()
    ends_x = [np.argmin(np.append(bright[y, x:], False)) for y, x in zip(rows, columns, strict=True)]
    ends_y = [np.argmin(np.append(bright[y:, x], False)) for y, x in zip(rows, columns, strict=True)]
    return as_boxes(np.stack([columns, rows, columns + ends_x, rows + ends_y], axis=1))
