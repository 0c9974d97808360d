"""The account of a corpus' sources as lines for people, one line per source."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from fo1_data.plurals import counted
from fo1_data.storage.addresses import base_name
from schemas.sources import ContentKind, SourceCounts, Tally

_MOST_LINES = 20
_SINGULAR = {ContentKind.BOXES: "box"}


def counts_text(counts: Mapping[ContentKind, int]) -> str:
    """`392 boxes, 30 captions`; kinds that do not occur are left out."""
    return ", ".join(
        counted(count, _SINGULAR.get(kind, kind.removesuffix("s")), kind)
        for kind, count in counts.items()
        if count
    )


def source_lines(sources: Sequence[SourceCounts]) -> list[str]:
    """One line per source, those with rejects and notes first; beyond 20 sources, one line for the rest."""
    ordered = sorted(sources, key=lambda source: not (source.rejects or source.notes))
    lines = [_line(source) for source in ordered[:_MOST_LINES]]
    rest = ordered[_MOST_LINES:]
    if rest:
        attached = _sum(source.attached for source in rest)
        rejected = _sum(source.rejected for source in rest)
        kept = _kept_text(attached, sum(source.videos for source in rest))
        text = f"{counted(len(rest), 'more source')}: {kept} attached"
        lines.append(text + (f"; {counts_text(rejected)} rejected" if rejected else ""))
    return lines


def _kept_text(attached: Mapping[ContentKind, int], num_videos: int) -> str:
    """`46 boxes, 2 tracks of 1 image and 1 video`."""
    labels: Tally = {kind: count for kind, count in attached.items() if kind is not ContentKind.IMAGES}
    images = counts_text({ContentKind.IMAGES: attached.get(ContentKind.IMAGES, 0) - num_videos})
    videos = counted(num_videos, "video") if num_videos else ""
    whole = " and ".join(part for part in (images, videos) if part)
    return " of ".join(part for part in (counts_text(labels), whole) if part) or "nothing"


def _sum(tallies: Iterable[Mapping[ContentKind, int]]) -> Counter[ContentKind]:
    return sum((Counter(tally) for tally in tallies), Counter())


def _line(source: SourceCounts) -> str:
    parts = [f"{base_name(source.source)}: {_kept_text(source.attached, source.videos)} attached"]
    if source.rejects == 1 and source.reasons:
        parts.append(source.reasons[0])
    elif source.rejects:
        more = source.rejects - len(source.reasons)
        reasons = [*source.reasons, *([f"{more} more"] if more else [])]
        content = counts_text(source.rejected)
        parts.append(f"rejected: {content or counted(source.rejects, 'part')} ({'; '.join(reasons)})")
    return "; ".join([*parts, *source.notes])
