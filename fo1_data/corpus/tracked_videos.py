"""Videos that are tracked: entries of a corpus that are whole videos, each a shard of its own.

An entry is tracked if it names a video and no frame of it, or if it is a video that is kept as images. Videos
of equal bytes are put into one shard, so that they are labelled once. Reads sizes, and the bytes of videos of
equal size; decodes nothing.
"""

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from fo1_data.corpus.entry_list import EntryList, record_to_entry
from fo1_data.corpus.video.listing import is_video
from fo1_data.errors import CorpusError, InputReject
from fo1_data.storage.addresses import local_path
from fo1_data.storage.downloads import remote_size
from fo1_data.storage.streams import open_stream
from schemas.corpus import CorpusImage

_CHUNK_BYTES = 2**20
_THREADS = 16


def is_tracked(entry: CorpusImage) -> bool:
    """Whether the entry is a whole video."""
    origin = entry.origin
    return entry.frame_files is not None or (origin.inner is None and is_video(origin.uri))


@dataclass
class GroupedEntries:
    """Entries with those of equal videos side by side.

    `group_sizes`: how many entries follow each other that stay in one shard; `alone`: the numbers of the
    groups that are videos, which share their shard with no other group.
    """

    entries: EntryList = field(default_factory=EntryList)
    group_sizes: "array[int]" = field(default_factory=lambda: array("I"))
    alone: set[int] = field(default_factory=set)


def group_videos(
    entries: EntryList, group_sizes: Iterable[int] | None = None, timeout_s: float = 30.0
) -> GroupedEntries:
    """The entries in their order, but equal videos behind the first of them.

    group_sizes: the groups that other entries are in already; without them each is on its own.
    """
    equal = _equal_videos(entries, timeout_s)
    followers = {number for numbers in equal.values() for number in numbers}
    grouped = GroupedEntries()
    records = list(entries.records()) if followers else None
    stream, number = entries.records(), 0
    sizes = iter(group_sizes) if group_sizes is not None else None
    while number < len(entries):
        size = next(sizes) if sizes is not None else 1
        members = [next(stream) for _ in range(size)]
        if number not in followers:
            if is_tracked(record_to_entry(members[0])):
                members += [records[other] for other in equal.get(number, ())] if records else []
                grouped.alone.add(len(grouped.group_sizes))
            for record in members:
                grouped.entries.append_record(record)
            grouped.group_sizes.append(len(members))
        number += size
    return grouped


def _equal_videos(entries: EntryList, timeout_s: float) -> dict[int, list[int]]:
    """The numbers of entries whose bytes an earlier video has, by the number of the first."""
    by_size: dict[int, list[tuple[int, CorpusImage]]] = defaultdict(list)
    videos_of = [(number, entry) for number, entry in enumerate(entries) if is_tracked(entry)]
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="size") as pool:
        sizes = pool.map(lambda video: _size(video[1], timeout_s), videos_of)
        for video, num_bytes in zip(videos_of, sizes, strict=True):
            if num_bytes:
                by_size[num_bytes].append(video)
    equal: dict[int, list[int]] = {}
    for videos in by_size.values():
        first: dict[str, int] = {}
        for number, entry in videos if len(videos) > 1 else ():
            with suppress(OSError, ValueError, CorpusError):  # whoever decodes it says what is wrong
                digest = video_id_of(entry)
                if digest in first:
                    equal.setdefault(first[digest], []).append(number)
                else:
                    first[digest] = number
    return equal


def _size(entry: CorpusImage, timeout_s: float) -> int | None:
    """The length of a video in bytes; None or 0 if its store does not tell it, or if it is kept as images."""
    address = entry.origin.uri
    if entry.frame_files is not None:
        return None
    try:
        path = local_path(address)
        return path.stat().st_size if path is not None else remote_size(address, timeout_s)[0]
    except (OSError, ValueError, InputReject):
        return None


def video_id_of(entry: CorpusImage) -> str:
    """SHA-256 (hex) of the bytes of a video. Raises OSError, ValueError or CorpusError.

    Of a video that is kept as images: of the SHA-256 of each of them, in order.
    """
    if entry.frame_files is None:
        return _digest(entry.origin.uri).hex()
    digests = (_digest(address) for address in entry.frame_files.addresses)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _digest(address: str) -> bytes:
    digest = hashlib.sha256()
    with open_stream(address) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.digest()
