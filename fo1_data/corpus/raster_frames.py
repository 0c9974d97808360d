"""Where the images of a corpus lie, from their headers or from what their rows record.

Reads the header of every raster, a few at a time, by range requests where they are remote; no pixels.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.map_frames import MapFrame, frame_of_record
from fo1_data.corpus.rendering import Rendering, raster_record
from fo1_data.errors import InputReject
from schemas.corpus import CorpusImage
from schemas.rasters import RasterRecord

_READERS = 8
_OTHERS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".mp4")


def frames_of(entries: Sequence[CorpusImage], limits: InputLimits | None = None) -> list[MapFrame | None]:
    """The map frame of each entry's upright image; None without coordinates or a readable header."""
    with ThreadPoolExecutor(_READERS, thread_name_prefix="frames") as pool:
        return list(pool.map(lambda entry: _frame_of(entry, limits or InputLimits()), entries))


def _frame_of(entry: CorpusImage, limits: InputLimits) -> MapFrame | None:
    record = raster_record(entry.meta)
    if record is not None and entry.width and entry.height:
        return frame_of_record(record, (entry.width, entry.height))
    if entry.inner is not None or entry.uri.lower().endswith(_OTHERS):
        return None
    from fo1_data.corpus.rasters import open_raster

    try:
        with open_raster(entry.uri, Rendering(), limits) as raster:
            place = RasterRecord(bands=[1], stretch="none", limits=[], **raster.place)
            return frame_of_record(place, raster.image_wh)
    except InputReject:
        return None
