"""Equal images in several shards: which row stays, which are dropped, and the changes of each shard.

The row of the shard with the lowest index stays, whatever the order in which shards were done.
Memory: about 200 bytes an image; addresses are read again for images that occur twice only.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fo1_data.dataset.prefetch import map_ahead
from fo1_data.dataset.rows import with_uris
from schemas.dataset import Duplicate, ShardImage, ShardReport
from schemas.images import ImageRow, Reject, RejectStage

READERS = 16

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


def find_duplicates(
    reports: Sequence[ShardReport], read_images: ReadImages, present: Mapping[str, str] | None = None
) -> tuple[dict[str, Changes], list[Duplicate]]:
    """The changes by shard id (none: not listed), and the list for the manifest.

    `reports` are in order of their index, `read_images` gives a shard's images, `present` holds
    those of files that are not to be touched (image id -> uri): they come first.
    """
    first: dict[bytes, int] = {_key(image_id): -1 for image_id in present or {}}
    twice: dict[str, list[int]] = {}
    shard_ids = [report.shard_id for report in reports]
    for position, images in enumerate(map_ahead(read_images, shard_ids, READERS)):
        for image in images:
            keeper = first.setdefault(_key(image.image_id), position)
            if keeper != position:
                twice.setdefault(image.image_id, [keeper]).append(position)
            elif len(image.uris) > 1:
                twice.setdefault(image.image_id, [keeper])
    uris = _addresses(twice, reports, read_images)
    changes: dict[str, Changes] = {}
    listed: list[Duplicate] = []
    for image_id, (keeper, *others) in twice.items():
        everywhere = [(present or {})[image_id]] if keeper < 0 else uris[image_id, keeper]
        more = [uri for position in others for uri in uris[image_id, position]]
        for position in others:
            changes.setdefault(reports[position].shard_id, Changes()).drop.add(image_id)
        if keeper >= 0 and others:
            changes.setdefault(reports[keeper].shard_id, Changes()).more_uris[image_id] = more
        kept, *dropped = dict.fromkeys([*everywhere, *more])
        if dropped:
            listed.append(Duplicate(image_id=image_id, kept=kept, dropped=dropped))
    return changes, listed


def lost_annotations(
    duplicates: Sequence[Duplicate], reports: Sequence[ShardReport], read_images: ReadImages
) -> list[Reject]:
    """A reject for every dropped row whose corpus annotations are not those of the row that stays."""
    if not duplicates:
        return []
    ids = {duplicate.image_id for duplicate in duplicates}
    first: dict[str, ShardImage] = {}
    rejects = []
    for images in map_ahead(read_images, [report.shard_id for report in reports], READERS):
        for image in (image for image in images if image.image_id in ids):
            kept = first.setdefault(image.image_id, image)
            if image.annotations_sha256 not in (None, kept.annotations_sha256):
                rejects.append(
                    Reject(
                        uri=image.uris[0],
                        stage=RejectStage.LABEL,
                        reason="duplicate_annotations",
                        message=f"same bytes as {kept.uris[0]}, whose annotations were used: these differ",
                        replayable=False,
                        image_id=image.image_id,
                    )
                )
    return rejects


def _addresses(
    twice: Mapping[str, list[int]], reports: Sequence[ShardReport], read_images: ReadImages
) -> dict[tuple[str, int], list[str]]:
    """The addresses of the images that occur twice, by image and position of the shard."""
    positions = sorted({position for shards in twice.values() for position in shards if position >= 0})
    return {
        (image.image_id, position): image.uris
        for position in positions
        for image in read_images(reports[position].shard_id)
        if image.image_id in twice
    }


def _key(image_id: str) -> bytes:
    """An id in half the memory."""
    return bytes.fromhex(image_id)
