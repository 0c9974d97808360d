"""Listings of corpora in every form: what is put in is in an entry, or counted as rejected with a reason."""

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dataset_corpora import own_dataset
from fuzz_target import Broken, Runner, check
from json_corpora import json_corpus
from made_corpora import Made, marks_in, write_files
from record_corpora import parquet, records, tracks, webdataset
from text_corpora import address_list, csv_corpus, cvat, mot, voc, yolo

from fo1_data.corpus.frames import OTHER_SIZE, oriented_entry
from fo1_data.corpus.images import ImageFrame
from fo1_data.corpus.listing import Listing
from fo1_data.corpus.readers import load_listing
from fo1_data.errors import Fo1Error
from schemas.corpus import CorpusImage
from schemas.sources import ContentKind

_MAKERS = (
    (8, json_corpus),
    (3, records),
    (1, tracks),
    (1, webdataset),
    (1, parquet),
    (1, own_dataset),
    (1, voc),
    (1, cvat),
    (2, csv_corpus),
    (2, yolo),
    (1, mot),
    (1, address_list),
)
# A whole file is refused: how many annotations it has is not counted.
_OF_FILES = {
    "ambiguous_image",
    "annotations_not_read",
    "bad_json",
    "bad_record",
    "bad_rows",
    "bad_text",
    "bad_xml",
    "broken_archive",
    "no_image_of_sidecar",
    "no_such_image",
    "unknown_annotation",
    "unreadable",
    "unreadable_archive",
}
_SIZES = ((100, 80), (80, 100), (50, 40), (100, 100), (1, 1), (101, 79))


@contextmanager
def listings(folder: Path) -> Iterator[Runner]:
    def run(chance: random.Random) -> str:
        weights, makers = [weight for weight, _ in _MAKERS], [maker for _, maker in _MAKERS]
        form, made = chance.choices(makers, weights)[0](chance)
        place = folder / "corpus"
        try:
            corpus = str(write_files(made, place))
            is_tracked = chance.random() < 0.3
            return _check_listing(corpus, made, chance, None if is_tracked else 1.0)
        except Broken as error:
            error.about = f"{form}:"
            error.add_note(
                "\n".join(f"{name}: {data.decode(errors='replace')}" for name, data in made.files.items())
            )
            raise
        finally:
            shutil.rmtree(place, ignore_errors=True)

    yield run


def _check_listing(corpus: str, made: Made, chance: random.Random, every_s: float | None) -> str:
    first = _listed(corpus, every_s)
    again = _listed(corpus, every_s) if chance.random() < 0.3 else first
    if isinstance(first, str) or isinstance(again, str):
        check(first == again, "listed in two ways:", first, again)
        check("attached or rejected" not in str(first), first)
        return "refused"
    texts = [entry.model_dump_json() for entry in first.entries]
    check(texts == [entry.model_dump_json() for entry in again.entries], "other entries the second time")
    check(_told(first) == _told(again), "other rejects the second time")
    for text in texts:
        check(CorpusImage.model_validate_json(text).model_dump_json() == text, "does not survive JSON:", text)
    _check_account(first)
    _check_marks(first, made, texts)
    for entry in first.entries:
        _check_frame(entry, chance)
    return "listed with rejects" if first.rejects else "listed"


def _listed(corpus: str, every_s: float | None) -> Listing | str:
    try:
        return load_listing(corpus, frame_every_s=every_s)
    except Fo1Error as error:
        check("\n" not in str(error), "more than one line:", error)
        return f"{type(error).__name__}: {error}"


def _told(listing: Listing) -> list[object]:
    return [*(reject.model_dump() for reject in listing.rejects), *(s.model_dump() for s in listing.sources)]


def _check_account(listing: Listing) -> None:
    """What was found is attached or rejected, each with a reason; no region comes from nowhere."""
    check(
        "unaccounted" not in {reject.reason for reject in listing.rejects},
        "not accounted for",
        listing.rejects,
    )
    for source in listing.sources:
        for kind in {*source.found, *source.attached, *source.rejected}:
            found, attached = source.found.get(kind, 0), source.attached.get(kind, 0)
            check(found == attached + source.rejected.get(kind, 0), kind, "of", source)
            check(attached >= 0, kind, "of", source)
    for part in (*listing.rejects, *listing.sources):
        part.model_dump_json()
    num_rejected = sum(sum(source.rejected.values()) for source in listing.sources)
    check(not num_rejected or bool(listing.rejects), "rejected without a reason")
    num_attached = sum(source.attached.get(ContentKind.BOXES, 0) for source in listing.sources)
    num_boxes = sum(
        len(entry.regions or []) + sum(len(track.frames) for track in entry.tracks or [])
        for entry in listing.entries
    )
    check(num_boxes <= num_attached, num_boxes, "boxes, of which", num_attached, "were attached")
    names = [entry.name for entry in listing.entries]
    check(len(set(names)) == len(names), "an image is listed twice")


def _check_marks(listing: Listing, made: Made, texts: list[str]) -> None:
    """Each mark that was put in is in an entry, or so many contents were rejected."""
    if made.is_damaged or not made.names_images():
        return  # nobody knows what the files say
    listed = marks_in([json.loads(text) for text in texts])
    missing = {put for put in made.put if put.is_missing(listed)}
    of_images = sum(
        source.rejected.get(kind, 0)
        for source in listing.sources
        for kind in (ContentKind.IMAGES, ContentKind.SIDECARS)
    )
    refused = {
        record for record, _ in Counter(put.record for put in missing if put.record).most_common(of_images)
    }
    missing = {put for put in missing if put.record not in refused}
    lost = made.lines - sum(len(entry.regions or []) for entry in listing.entries)
    rejected = sum(
        count
        for source in listing.sources
        for kind, count in source.rejected.items()
        if kind not in (ContentKind.IMAGES, ContentKind.SIDECARS)
    )
    if max(len(missing), lost) <= rejected:
        return
    reasons = {reject.reason for reject in listing.rejects}
    is_told = bool(reasons & _OF_FILES)
    words = [reject.message for reject in listing.rejects]
    check(is_told, f"{len(missing) or lost} are lost, {rejected} are rejected: {missing}", words)


def _check_frame(entry: CorpusImage, chance: random.Random) -> None:
    """In the frame of an image every box is a region inside it, or a reject."""
    stored, orientation = chance.choice(_SIZES), chance.choice((1, 1, 3, 6))
    shown = stored[::-1] if orientation == 6 else stored
    oriented, rejects = oriented_entry(entry, ImageFrame(*shown, orientation, stored, "ab"), "auto")
    regions = oriented.regions or []
    if [reject.reason for reject in rejects] == [OTHER_SIZE]:
        check(not regions, "regions of another size")
        return
    check(len(regions) + len(rejects) == len(entry.regions or []), "boxes are lost:", rejects)
    for region in regions:
        left, top, right, bottom = region.box_xyxy
        check(0 <= left < right <= shown[0] and 0 <= top < bottom <= shown[1], region, "is outside", shown)
    for phrase in oriented.phrases:
        indices = phrase.region_indices or []
        check(all(0 <= index < len(regions) for index in indices), phrase, "of", len(regions))
    for reject in rejects:
        check(bool(reject.reason and reject.message), "a reject without words")
