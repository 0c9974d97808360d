"""The rows and rejects of a shard that has tiles: rows of images, and rejects of images.

An image of which any tile gave no row is a reject that names the tile: no row has a hole that nobody sees.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pyarrow as pa

from fo1_data.corpus.rejects import named
from fo1_data.corpus.tile_names import image_of_tile, tile_name
from fo1_data.dataset.arrow_columns import numpy_to_array
from fo1_data.dataset.items import Items
from fo1_data.dataset.united_tiles import unite_tiles
from schemas.corpus import CorpusImage
from schemas.images import Reject, RejectStage


@dataclass(frozen=True)
class ShardRows:
    """A batch for each image, of one row each, and the rejects of the shard."""

    batches: list[pa.RecordBatch]
    rejects: list[Reject]


def unite_shard(
    entries: Sequence[CorpusImage], tables: Sequence[pa.Table], rejects: Sequence[Reject]
) -> ShardRows:
    """tables, rejects: the rows and rejects of the entries of a shard, which are images and tiles."""
    batches = [batch for table in tables for batch in table.to_batches() if batch.num_rows]
    batch = pa.concat_batches(batches) if batches else None
    uris = batch["uri"].to_pylist() if batch is not None else []
    place_of = {uri: place for place, uri in enumerate(uris)}
    repeated = _repeated_names(batch) if batch is not None else frozenset()
    rejects_of: dict[str, list[Reject]] = {}
    for reject in rejects:
        rejects_of.setdefault(reject.uri, []).append(reject)
    united = ShardRows([], [])
    for image_entries in images_of(entries):
        names = [entry.name for entry in image_entries]
        own_rejects = [reject for name in dict.fromkeys(names) for reject in rejects_of.pop(name, [])]
        places = [place_of[name] for name in names if name in place_of]
        if tile_name(image_entries[0]) is None:
            united.batches.extend(batch.slice(place, 1) for place in places if batch is not None)
            united.rejects.extend(own_rejects)
        elif batch is not None and len(places) == len(names):
            united.batches.append(unite_tiles(_at(batch, places), image_entries))
            united.rejects.extend(_as_of_image(reject, image_entries) for reject in own_rejects)
        elif places or own_rejects or not repeated.issuperset(names):
            united.rejects.append(_image_reject(image_entries, own_rejects, place_of))
    united.rejects.extend(reject for others in rejects_of.values() for reject in others)
    return united


def images_of(entries: Sequence[CorpusImage]) -> Iterator[list[CorpusImage]]:
    """The entries of each image: one, or all its tiles, which lie side by side."""
    for _, group in groupby(enumerate(entries), key=lambda pair: _image_key(*pair)):
        yield [entry for _, entry in group]


def _image_key(number: int, entry: CorpusImage) -> object:
    return number if tile_name(entry) is None else image_of_tile(entry).name


def _repeated_names(batch: pa.RecordBatch) -> frozenset[str]:
    """The names of entries whose pixels another entry had already."""
    uris = Items.of(batch)["uris"].each.values.to_pylist()
    return frozenset(uris) - frozenset(batch["uri"].to_pylist())


def _at(batch: pa.RecordBatch, places: list[int]) -> pa.RecordBatch:
    if places == list(range(places[0], places[0] + len(places))):
        return batch.slice(places[0], len(places))
    return batch.take(numpy_to_array(np.array(places, np.int64)))


def _as_of_image(reject: Reject, entries: Sequence[CorpusImage]) -> Reject:
    image = uncut(entries)
    return reject.model_copy(
        update={"uri": image.name, "source": image.model_dump_json(exclude_defaults=True)}
    )


def _image_reject(
    entries: Sequence[CorpusImage], rejects: Sequence[Reject], place_of: Mapping[str, int]
) -> Reject:
    """The reject of an image, for the first of its tiles that gave no row."""
    missing = {entry.name for entry in entries if entry.name not in place_of}
    first = next((reject for reject in rejects if reject.uri in missing), None)
    if first is None:
        first = Reject(
            uri=min(missing),
            stage=RejectStage.LABEL,
            reason="tile_missing",
            message="the tile gave neither a row nor a reject",
            replayable=True,
        )
    more = f" ({len(missing)} of {len(entries)} tiles gave no row)" if len(missing) > 1 else ""
    message = f"{named(first.message, first.uri)}{more}"
    return _as_of_image(first.model_copy(update={"message": message}), entries)


def uncut(entries: Sequence[CorpusImage]) -> CorpusImage:
    """The entry of an image from those of its tiles, with all boxes, in the upright frame."""
    whole = entries[-1]
    regions = None
    if whole.regions is not None:
        regions = [region for entry in entries for region in entry.regions or []]
    return image_of_tile(whole).model_copy(update={"regions": regions})
