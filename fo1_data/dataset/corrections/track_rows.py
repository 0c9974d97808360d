"""What corrections of tracks change in the row of a keyframe: its regions that show these tracks.

They become corrections of the regions, which apply with those that people made of the row itself. A caption
or answer that a person gave the region itself stays. The id of a region's track follows splits and joins.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from fo1_data.dataset.corrections.apply import Applied, apply_corrections
from fo1_data.dataset.corrections.tracks import Statement
from fo1_data.dataset.human_labels import is_locked
from schemas.corrections import Correction
from schemas.images import ImageRow
from schemas.labels import LabelKind
from schemas.regions import TEXT_COLUMNS, Region


def apply_with_tracks(
    row: ImageRow,
    corrections: Sequence[Correction],
    statements: Iterable[Statement] = (),
    names: Mapping[tuple[str, str], str] | None = None,
    since: Container[str] | None = None,
) -> Applied:
    """`apply_corrections`, with what corrections of tracks say of the row.

    `names`: see `CorrectedTracks`. `since`: the ids of the corrections, also of tracks, that the row does not
    hold yet; null: it holds none. `done` and `left_out` list also what was said by way of tracks.
    """
    said = list(_of_regions(row, statements))
    everything = [*corrections, *(correction for _, correction in said)]
    later = [correction for source_id, correction in said if since is not None and source_id in since]
    later += [one for one in corrections if since is not None and one.correction_id in since]
    applied = apply_corrections(row, everything, None if since is None else later)
    names = names or {}
    regions = [
        region.model_copy(update={"track_id": names[row.image_id, region.track_id]})
        if region.track_id is not None and (row.image_id, region.track_id) in names
        else region
        for region in applied.row.regions
    ]
    return Applied(applied.row.model_copy(update={"regions": regions}), applied.done, applied.left_out)


def said_of_regions(row: ImageRow, statements: Iterable[Statement]) -> list[Correction]:
    """The corrections of regions that follow from those of their tracks."""
    return [correction for _, correction in _of_regions(row, statements)]


def _of_regions(row: ImageRow, statements: Iterable[Statement]) -> Iterator[tuple[str, Correction]]:
    """The corrections of regions that follow from those of their tracks, each with the id of its source.

    They are of no review: what one says of the row does not replace what it says of the track.
    """
    for statement in statements:
        for region in row.regions:
            if region.track_id == statement.track_id and not _has_own(row, region, statement.correction):
                update = {
                    "image_id": row.image_id,
                    "region_id": region.region_id,
                    "track_id": statement.track_id,
                    "annotation_key": "",
                    "as_of": None,
                }
                yield statement.source_id, statement.correction.model_copy(update=update)


def _has_own(row: ImageRow, region: Region, correction: Correction) -> bool:
    """Whether a person has said something about the region itself where a correction speaks of its track."""
    if correction.kind in TEXT_COLUMNS:
        return any(is_locked(label) for label in region.labels if label.kind is correction.kind)
    if correction.kind is LabelKind.ASK:
        return any(
            is_locked(answer.label)
            for answer in row.answers
            if answer.region_id == region.region_id and answer.question == correction.subject
        )
    return False
