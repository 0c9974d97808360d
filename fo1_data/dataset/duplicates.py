"""Equal images in several shards: which row stays, which are dropped, and the changes of each shard.

The row of the shard with the lowest index stays, whatever the order in which shards were done.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import to_array
from fo1_data.dataset.done_shards import Occurrence
from schemas.dataset import Duplicate
from schemas.images import Reject, RejectStage
from schemas.shards import ShardImage


@dataclass
class Changes:
    """The changes of a shard's rows by duplicates in other shards: ids to drop, addresses to add."""

    drop: set[str] = field(default_factory=set)
    more_uris: dict[str, list[str]] = field(default_factory=dict)

    def apply(self, rows: pa.Table) -> pa.Table:
        """The rows that stay, with the addresses they gain, each once."""
        kept = rows.filter(pc.invert(pc.is_in(rows["image_id"], to_array(sorted(self.drop), pa.string()))))
        if not self.more_uris:
            return kept
        pairs = zip(kept["image_id"].to_pylist(), kept["uris"].to_pylist(), strict=True)
        uris = [list(dict.fromkeys([*known, *self.more_uris.get(name, ())])) for name, known in pairs]
        place = kept.schema.get_field_index("uris")
        column = kept.schema.field(place)
        return kept.set_column(place, column, to_array(uris, column.type))


@dataclass
class Duplicates:
    """What equal images change.

    `changes`: of the rows, by shard id (none: not listed). `listed`: for the manifest. `rejects`: one for
    every dropped row whose corpus annotations are not those of the row that stays.
    """

    changes: dict[str, Changes] = field(default_factory=dict)
    listed: list[Duplicate] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


def find_duplicates(
    repeated: Mapping[str, Sequence[Occurrence]], present: Mapping[str, str] | None = None
) -> Duplicates:
    """What equal images change.

    `repeated`: by id the images of `DoneShards.repeated_images`. `present` holds those of files that are not
    to be touched (image id -> uri): they come first.
    """
    present = present or {}
    found = Duplicates()
    lost: list[tuple[int, Reject]] = []
    noticed = sorted(repeated.items(), key=lambda pair: _noticed(pair[0], pair[1], present))
    for image_id, occurrences in noticed:
        first = occurrences[0]
        is_present = image_id in present
        dropped = occurrences if is_present else occurrences[1:]
        more = [uri for occurrence in dropped for uri in occurrence.image.uris]
        for occurrence in dropped:
            found.changes.setdefault(occurrence.shard_id, Changes()).drop.add(image_id)
        if dropped and not is_present:
            found.changes.setdefault(first.shard_id, Changes()).more_uris[image_id] = more
        everywhere = [present[image_id]] if is_present else first.image.uris
        kept, *others = dict.fromkeys([*everywhere, *more])
        if others:
            found.listed.append(Duplicate(image_id=image_id, kept=kept, dropped=others))
            for occurrence in occurrences[1:]:
                if occurrence.image.annotations_sha256 not in (None, first.image.annotations_sha256):
                    lost.append((occurrence.index, _lost_annotations(first.image, occurrence.image)))
    found.rejects = [reject for _, reject in sorted(lost, key=lambda pair: pair[0])]
    return found


def _noticed(
    image_id: str, occurrences: Sequence[Occurrence], present: Mapping[str, str]
) -> tuple[int, str, int]:
    """Where a walk through the shards finds out that an image is there already."""
    is_first = len(occurrences[0].image.uris) > 1 or image_id in present
    occurrence = occurrences[0 if is_first else 1]
    return occurrence.index, occurrence.shard_id, occurrence.place


def _lost_annotations(kept: ShardImage, dropped: ShardImage) -> Reject:
    return Reject(
        uri=dropped.uris[0],
        stage=RejectStage.LABEL,
        reason="duplicate_annotations",
        message=f"same bytes as {kept.uris[0]}, whose annotations were used: these differ",
        replayable=False,
        image_id=dropped.image_id,
    )
