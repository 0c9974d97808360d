"""Equal images in several shards: which row stays, which are dropped, and the changes of each shard.

The row of the shard with the lowest index stays, whatever the order in which shards were done.
Memory: about 100 bytes an image; addresses are read again for images that occur twice only.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fo1_data.dataset.done_shards import ID_BYTES, READERS, DoneShard
from fo1_data.dataset.prefetch import map_ahead
from fo1_data.dataset.rows import with_uris
from schemas.dataset import Duplicate, ShardImage
from schemas.images import ImageRow, Reject, RejectStage

ReadImages = Callable[[str], list[ShardImage]]


@dataclass
class Changes:
    """The changes of a shard's rows by duplicates in other shards: ids to drop, addresses to add."""

    drop: set[str] = field(default_factory=set)
    more_uris: dict[str, list[str]] = field(default_factory=dict)

    def apply(self, rows: Iterable[ImageRow]) -> list[ImageRow]:
        """The rows that stay, with the addresses they gain."""
        kept = (row for row in rows if row.image_id not in self.drop)
        return [with_uris(row, self.more_uris.get(row.image_id, [])) for row in kept]


@dataclass
class Duplicates:
    """What equal images change.

    `changes`: of the rows, by shard id (none: not listed). `listed`: for the manifest. `rejects`: one for
    every dropped row whose corpus annotations are not those of the row that stays.
    """

    changes: dict[str, Changes] = field(default_factory=dict)
    listed: list[Duplicate] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


@dataclass(frozen=True)
class _Repeated:
    """An image with several addresses: the shards that hold it, by their position among all, in order."""

    image_id: str
    positions: list[int]


def find_duplicates(
    shards: Sequence[DoneShard], read_images: ReadImages, present: Mapping[str, str] | None = None
) -> Duplicates:
    """What equal images change.

    `shards` are in order of their index, `read_images` gives the images of a shard by its id, `present` holds
    those of files that are not to be touched (image id -> uri): they come first.
    """
    present = present or {}
    repeated = list(_find_repeated(shards, present))
    images = _load_images(repeated, shards, read_images)
    found = Duplicates()
    lost: list[tuple[int, Reject]] = []
    for image in repeated:
        first = images[image.image_id, image.positions[0]]
        is_present = image.image_id in present
        dropped = image.positions if is_present else image.positions[1:]
        more = [uri for position in dropped for uri in images[image.image_id, position].uris]
        for position in dropped:
            found.changes.setdefault(_id(shards, position), Changes()).drop.add(image.image_id)
        if dropped and not is_present:
            change = found.changes.setdefault(_id(shards, image.positions[0]), Changes())
            change.more_uris[image.image_id] = more
        everywhere = [present[image.image_id]] if is_present else first.uris
        kept, *others = dict.fromkeys([*everywhere, *more])
        if others:
            found.listed.append(Duplicate(image_id=image.image_id, kept=kept, dropped=others))
            for position in image.positions[1:]:
                other = images[image.image_id, position]
                if other.annotations_sha256 not in (None, first.annotations_sha256):
                    lost.append((position, _lost_annotations(first, other)))
    found.rejects = [reject for _, reject in sorted(lost, key=lambda pair: pair[0])]
    return found


def _find_repeated(shards: Sequence[DoneShard], present: Mapping[str, str]) -> Iterator[_Repeated]:
    """The images that occur in several shards, in `present` too, or at several addresses of one shard.

    They come in the order in which a walk through the shards finds that out.
    """
    ids = b"".join(shard.image_ids for shard in shards)
    sizes = [len(shard.image_ids) // ID_BYTES for shard in shards]
    starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    # Equal ids have equal first halves: those are few enough to look at one by one.
    halves = np.frombuffer(ids, dtype=np.uint64)[:: ID_BYTES // 8]
    order = np.argsort(halves, kind="stable")
    equal = halves[order[1:]] == halves[order[:-1]]
    suspects = set(order[1:][equal].tolist()) | set(order[:-1][equal].tolist())
    several = {int(starts[at]) + place for at, shard in enumerate(shards) for place in shard.several}
    if present:
        suspects |= set(range(len(halves)))
    places: dict[bytes, list[int]] = {}
    for place in sorted(suspects | several):
        places.setdefault(ids[place * ID_BYTES : (place + 1) * ID_BYTES], []).append(place)
    found = []
    for key, at in places.items():
        image_id = key.hex()
        if len(at) > 1 or at[0] in several or image_id in present:
            noticed = at[0] if at[0] in several or image_id in present else at[1]
            positions = (np.searchsorted(starts, at, side="right") - 1).tolist()
            found.append((noticed, _Repeated(image_id, positions)))
    return (image for _, image in sorted(found, key=lambda pair: pair[0]))


def _load_images(
    repeated: Sequence[_Repeated], shards: Sequence[DoneShard], read_images: ReadImages
) -> dict[tuple[str, int], ShardImage]:
    """The images that occur twice, by id and position of the shard."""
    ids = {image.image_id for image in repeated}
    positions = sorted({position for image in repeated for position in image.positions})
    read = map_ahead(read_images, [_id(shards, position) for position in positions], READERS)
    return {
        (image.image_id, position): image
        for position, images in zip(positions, read, strict=True)
        for image in images
        if image.image_id in ids
    }


def _lost_annotations(kept: ShardImage, dropped: ShardImage) -> Reject:
    return Reject(
        uri=dropped.uris[0],
        stage=RejectStage.LABEL,
        reason="duplicate_annotations",
        message=f"same bytes as {kept.uris[0]}, whose annotations were used: these differ",
        replayable=False,
        image_id=dropped.image_id,
    )


def _id(shards: Sequence[DoneShard], position: int) -> str:
    return shards[position].report.shard_id
