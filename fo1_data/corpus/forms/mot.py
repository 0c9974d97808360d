"""Sequences of MOT challenge: `seqinfo.ini`, `gt/gt.txt`, `det/det.txt` and frames in `img1/`.

`gt/labels.txt` (CVAT's, a name a line) names the classes; without it they are those of MOT17. What
`mot_lines` says of the lines holds here. A text of the form may stand alone (`gt.txt`, `SEQ.txt` of a
tracker): its name, or that of its sequence, is the video's. The detections of a sequence (`det/det.txt`)
belong to no track and are left out (`ignored`).
"""

import configparser
from collections import Counter
from collections.abc import Iterator, Sequence

from fo1_data.corpus.forms.image_lookup import has_image_suffix
from fo1_data.corpus.forms.mot_lines import read_mot_lines
from fo1_data.corpus.forms.record_fields import whole_number
from fo1_data.corpus.forms.video_tracks import Fault, ReadVideo, items_of_video
from fo1_data.corpus.listing import Found, Item, Note
from fo1_data.corpus.places import children, join_verbatim, kind_of
from fo1_data.errors import CorpusError, one_line
from fo1_data.plurals import counted
from fo1_data.storage.addresses import base_name, join, parent
from fo1_data.storage.streams import open_stream, read_whole
from schemas.corpus import FrameFiles, GivenVideo
from schemas.images import IGNORED
from schemas.sources import ContentKind

INFO = "seqinfo.ini"
# The files of a sequence that are read for it, and the names of texts that are known wherever they are.
FILES = (INFO, "gt/gt.txt", "gt/labels.txt", "det/det.txt")
TEXTS = ("gt.txt", "det.txt", "test.txt")
_GOLD = "gt.txt"
_FRAMES = "img1"


def read_mot_text(address: str, *, is_gold: bool) -> ReadVideo:
    """The tracks of a text file, with what the `seqinfo.ini` of its sequence says. `is_gold`: see
    `mot_lines`.
    """
    folder = sequence_of(address)
    video = _info(folder, name=_video_name(address, folder))
    with open_stream(address) as stream:
        return read_mot_lines(stream, address, video, is_gold=is_gold, class_names=_class_names(address))


def sequence_of(address: str) -> str:
    """The folder of the sequence that a text file is of: the one above `gt/` or `det/`, else its own."""
    folder = parent(address)
    return parent(folder) if base_name(folder) in ("gt", "det") else folder


def _video_name(address: str, folder: str) -> str:
    """The name of the sequence: of its folder for `gt.txt`, `det.txt` and `test.txt`, else of the file."""
    name = base_name(address)
    return base_name(folder) if name in TEXTS else name.rpartition(".")[0]


def _info(folder: str, name: str) -> GivenVideo:
    """What a sequence says of itself; only its name if it has no `seqinfo.ini`. Raises CorpusError."""
    address = join(folder, INFO)
    if kind_of(address) != "file":
        return GivenVideo(video=name)
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(read_whole(address).decode("utf-8-sig", "replace"))
        fields = dict(parser["Sequence"])
    except (configparser.Error, KeyError) as error:
        raise CorpusError(f"{address} is not a seqinfo.ini with [Sequence]: {one_line(error)}") from error
    try:
        fps = float(fields.get("framerate", ""))
    except ValueError:
        fps = 0.0
    return GivenVideo(
        video=name,
        width=whole_number(fields.get("imwidth")),
        height=whole_number(fields.get("imheight")),
        fps=fps if 0 < fps < float("inf") else None,
        num_frames=whole_number(fields.get("seqlength")),
        first_number=1,
    )


def _class_names(address: str) -> dict[int, str]:
    labels = join(parent(address), "labels.txt")
    if kind_of(labels) != "file":
        return {}
    lines = read_whole(labels).decode("utf-8-sig", "replace").splitlines()
    return {number: line.strip() for number, line in enumerate(lines, start=1) if line.strip()}


def is_sequence(folder: str) -> bool:
    """Whether a folder is a sequence: it has a `seqinfo.ini` or a `gt/gt.txt`."""
    return any(kind_of(join(folder, name)) == "file" for name in (INFO, f"gt/{_GOLD}"))


def read_sequence(folder: str) -> Iterator[Item]:
    """The items of a sequence: one video, with the tracks of its gold if it has gold."""
    gold, detections = join(folder, f"gt/{_GOLD}"), join(folder, "det/det.txt")
    source = gold if kind_of(gold) == "file" else folder
    read = (
        read_mot_text(gold, is_gold=True)
        if source == gold
        else ReadVideo(_info(folder, base_name(folder)), Counter())
    )
    yield from items_of_text(source, read, folder)
    if kind_of(detections) == "file":
        yield from _detections(detections)


def items_of_text(source: str, read: ReadVideo, folder: str) -> Iterator[Item]:
    """The items of a text of the sequence in `folder`."""
    for note in read.notes:
        yield Note(source, note)
    frames, fault = _frames(join(folder, _FRAMES), read.video)
    if fault is not None:
        yield Found(source, {})
        yield fault.refused(source)
    yield from items_of_video(source, read, join(folder, _FRAMES) if frames else None, frames)


def _detections(address: str) -> Iterator[Item]:
    with open_stream(address) as stream:
        count = sum(1 for line in stream if line.strip())
    counts = {ContentKind.BOXES: count}
    yield Found(address, counts)
    message = f"{counted(count, 'detection')} of no track are not read"
    yield Fault(address, IGNORED, message, counts).refused(address)


def _frames(folder: str, video: GivenVideo) -> tuple[FrameFiles | None, Fault | None]:
    """The images of a sequence by their numbers; a fault if numbers are missing between them."""
    if kind_of(folder) != "folder":
        return None, None
    names = [name for name in children(folder)[0] if has_image_suffix(name)]
    numbers = [_number_of(name) for name in names]
    if not names:
        return None, None
    if sorted(numbers) != list(range(1, len(names) + 1)):
        message = f"its {counted(len(names), 'image')} are not numbered from 1 to {len(names)}"
        return None, Fault(folder, "missing_frames", message)
    ordered = [join_verbatim(folder, name) for _, name in sorted(zip(numbers, names, strict=True))]
    return FrameFiles(addresses=ordered, fps=video.fps), None


def _number_of(name: str) -> int:
    stem = name.rpartition(".")[0]
    return int(stem) if stem.isdecimal() else -1


def sequences_below(folder: str, names: Sequence[str]) -> list[str]:
    """The sequences among the folders `names` of a folder."""
    return [address for name in names if is_sequence(address := join_verbatim(folder, name))]
