"""What is wrong with the files of a corpus, before a GPU is used: read and decoded by the code that labels.

All of them in threads, or a seeded sample. Asks no cluster and no service.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from pydantic import BaseModel

from fo1_data.corpus.decoding import decode_image, sidecars_of
from fo1_data.corpus.dicom.settings import dicom_settings
from fo1_data.corpus.entry_bytes import must_embed, read_encoded
from fo1_data.corpus.frames import FRAME_GUESS, OTHER_SIZE, oriented_entry
from fo1_data.corpus.further_pages import FURTHER_PAGES
from fo1_data.corpus.images import DecodedImage, ImageFrame, InputLimits
from fo1_data.corpus.rejects import reject_from
from fo1_data.corpus.rendering import Rendering
from fo1_data.corpus.tile_grid import TileGrid
from fo1_data.corpus.tile_listing import frame_of
from fo1_data.corpus.tile_names import TileName
from fo1_data.corpus.tile_reading import read_tile
from fo1_data.corpus.tracked_videos import is_tracked
from fo1_data.errors import InputReject
from fo1_data.runs.video_check import check_video
from fo1_data.storage.addresses import local_path
from schemas.corpus import CorpusImage
from schemas.images import Reject
from schemas.jobs import RunConfig

EXAMPLES = 20
THREADS = 8


class FileCheck(BaseModel):
    """What reading the files found. `checked` files of `of` were read; the others are assumed to be alike.

    `regions`: the usable boxes that the corpus has for the good ones among them, each image once; None if it
    has none for some.
    """

    checked: int
    of: int
    total_bytes: int
    bad: int
    bad_by_reason: dict[str, int]
    bad_examples: list[dict[str, str]]
    guessed_frames: int
    further_pages: int
    regions: int | None
    duplicate_groups: int
    duplicate_files: int
    duplicate_examples: list[list[str]]


def check_files(entries: Sequence[CorpusImage], config: RunConfig, at_most: int | None) -> FileCheck:
    """Read and decode the entries, or a seeded sample of `at_most`; count bad files and duplicates.

    Of an image that is labelled in tiles one tile is read, of a video that is tracked the first frame.
    """
    chosen: Sequence[CorpusImage] = entries
    if at_most is not None and len(entries) > at_most:
        places = sorted(random.Random(config.seed).sample(range(len(entries)), at_most))
        chosen = [entries[place] for place in places]
    limits = InputLimits(config.max_pixels, config.max_bytes, config.download_timeout_s)
    rejects: list[Reject] = []
    places_of: dict[str, list[str]] = defaultdict(list)
    total_bytes = guessed_frames = with_further_pages = regions = 0
    all_have_boxes = True
    with ThreadPoolExecutor(THREADS, thread_name_prefix="check") as pool:
        results = pool.map(lambda entry: _check_file(entry, config, limits), chosen)
        for entry, result in zip(chosen, results, strict=True):
            if isinstance(result, Reject):
                rejects.append(result)
                continue
            guessed_frames += result.guesses_frame
            with_further_pages += result.has_further_pages
            if result.image_id not in places_of:
                regions += result.num_boxes or 0
                all_have_boxes = all_have_boxes and result.num_boxes is not None
            places_of[result.image_id].append(entry.name)
            total_bytes += result.num_bytes
    duplicates = [names for names in places_of.values() if len(names) > 1]
    return FileCheck(
        checked=len(chosen),
        of=len(entries),
        total_bytes=total_bytes,
        bad=len(rejects),
        bad_by_reason=dict(Counter(f"{reject.stage.value}: {reject.reason}" for reject in rejects)),
        bad_examples=[{"uri": r.uri, "reason": r.reason, "message": r.message} for r in rejects[:EXAMPLES]],
        guessed_frames=guessed_frames,
        further_pages=with_further_pages,
        regions=regions if places_of and all_have_boxes else None,
        duplicate_groups=len(duplicates),
        duplicate_files=sum(len(names) - 1 for names in duplicates),
        duplicate_examples=duplicates[:EXAMPLES],
    )


class _GoodFile(NamedTuple):
    """An image that can be labelled. `num_boxes`: its usable ones; None if the corpus lists none for it."""

    image_id: str
    num_bytes: int
    guesses_frame: bool
    has_further_pages: bool
    num_boxes: int | None


def _check_file(entry: CorpusImage, config: RunConfig, limits: InputLimits) -> _GoodFile | Reject:
    """What the file holds, or the reject that labelling would give."""
    try:
        if is_tracked(entry):
            video_id, num_bytes, num_boxes = check_video(entry)
            return _GoodFile(video_id, num_bytes, False, False, num_boxes)
        if config.tile_side_px is not None and not must_embed(entry):
            frame = frame_of(entry, limits)
            grid = TileGrid((frame.width, frame.height), config.tile_side_px, config.overlap_px)
            if not grid.is_single:
                return _check_tile(entry, frame, grid, config, limits)
        data = read_encoded(entry, limits, dicom_settings(config)).data
        sidecars = sidecars_of(entry, data, limits)
        image = decode_image(data, limits, Rendering.of_run(config), sidecars=sidecars)
    except InputReject as error:
        return reject_from(entry, error)
    return _with_boxes(entry, image, image.image_id, len(data), config)


def _check_tile(
    entry: CorpusImage, frame: ImageFrame, grid: TileGrid, config: RunConfig, limits: InputLimits
) -> _GoodFile | Reject:
    """`_check_file` of an image that is labelled in tiles: the one in its middle is read."""
    name = TileName(grid.window((grid.columns // 2, grid.rows // 2)), grid.tile_px, grid.overlap_px)
    image_id = read_tile(name.of(entry), name, limits, Rendering.of_run(config)).image.image_id
    path = local_path(entry.uri) if entry.inner is None else None
    num_bytes = path.stat().st_size if path is not None else 0
    return _with_boxes(entry, frame, image_id, num_bytes, config)


def _with_boxes(
    entry: CorpusImage, frame: DecodedImage | ImageFrame, image_id: str, num_bytes: int, config: RunConfig
) -> _GoodFile | Reject:
    """A file that decodes, with its boxes; the reject if the corpus declares another size."""
    oriented, rejects = oriented_entry(entry, frame, config.box_frame)
    other_size = next((reject for reject in rejects if reject.reason == OTHER_SIZE), None)
    num_boxes = None if oriented.regions is None else len(oriented.regions)
    meta = oriented.meta or {}
    return other_size or _GoodFile(image_id, num_bytes, FRAME_GUESS in meta, FURTHER_PAGES in meta, num_boxes)
