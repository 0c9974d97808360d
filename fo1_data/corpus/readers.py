"""Listing of a corpus in any form: detects the form, calls its reader and gathers what it yields.

A folder is, in this order: the project's own form (it contains `annotations.jsonl`), a dataset of the
project, YOLO, a set of WebDataset tars, only Pascal VOC's XML files, only text files of YOLO, or a folder of
images and of annotation files of any tool (`annotated_folder`). The form of a file is decided by its suffix,
that of JSON, XML and CSV then by its contents. Only files that list images are opened; the labeller reads the
images themselves.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain

from PIL import Image

from fo1_data.corpus.dicom.files import NO_READER
from fo1_data.corpus.dicom.listing import DicomFrames
from fo1_data.corpus.dicom.settings import DicomSettings
from fo1_data.corpus.entry_list import EntryList
from fo1_data.corpus.forms.annotated_folder import read_annotated_folder, unread_beside_yolo
from fo1_data.corpus.forms.annotation_files import read_csv, read_json, read_xml
from fo1_data.corpus.forms.annotations import read_annotations
from fo1_data.corpus.forms.folder import read_files
from fo1_data.corpus.forms.mot_lines import is_mot_text
from fo1_data.corpus.forms.own_dataset import MANIFEST, load_own_manifest, read_own_dataset
from fo1_data.corpus.forms.track_files import is_track_lines
from fo1_data.corpus.forms.track_items import items_of_mot_text, items_of_track_lines
from fo1_data.corpus.forms.uri_list import read_parquet_list, read_text_list
from fo1_data.corpus.forms.voc import is_voc, read_voc_folder
from fo1_data.corpus.forms.webdataset import read_webdataset
from fo1_data.corpus.forms.yolo import is_yolo_folder, read_yolo_folder, read_yolo_yaml
from fo1_data.corpus.frame_listing import ListedVideos, with_frames
from fo1_data.corpus.gathering import gather
from fo1_data.corpus.hiding import hide_listing
from fo1_data.corpus.images import MAX_BYTES
from fo1_data.corpus.listing import Item, Listing, WantedImages
from fo1_data.corpus.listing_progress import ListingProgress
from fo1_data.corpus.places import children, expand, is_pattern, join_verbatim, kind_of
from fo1_data.corpus.tracked_videos import is_tracked
from fo1_data.corpus.unread_formats import unread_suffix
from fo1_data.corpus.video.listing import NO_DECODER, is_video
from fo1_data.errors import ConfigError, CorpusError, one_line
from fo1_data.storage.addresses import is_web, join, normalise, suffix_of
from schemas.sources import ContentKind, SourceCounts

Items = Iterator[Item]

# Gold is compared with rows that were labelled before: its pixels are not read.
_GOLD_DICOM = DicomSettings(allow_burned_in_text=True)
ANNOTATIONS_NAME = "annotations.jsonl"
_TARS = (".tar", ".tar.gz", ".tgz")


def _read_text(address: str) -> Items:
    return items_of_mot_text(address) if is_mot_text(address) else read_text_list(address)


def _read_records(address: str, wanted: WantedImages | None = None) -> Items:
    is_tracks = is_track_lines(address)
    return items_of_track_lines(address) if is_tracks else read_annotations(address, wanted=wanted)


# Lists whose records can say more of an image that an earlier one named.
_RECORD_LISTS: dict[str, Callable[..., Items]] = {
    ".jsonl": _read_records,
    ".ndjson": _read_records,
    ".parquet": read_parquet_list,
    ".json": read_json,
}
_LISTS = {
    ".txt": _read_text,
    ".csv": read_csv,
    ".yaml": read_yolo_yaml,
    ".yml": read_yolo_yaml,
}
_FORMS = (
    "a folder, a glob, a .txt, .jsonl or .parquet list, COCO .json, Pascal VOC .xml, "
    "a YOLO data.yaml, the .json, .xml or .csv of a labelling tool, tracks of MOT challenge, YouTube-VIS or "
    "tracks.jsonl, WebDataset .tar files, videos or DICOM"
)


def load_listing(
    corpus: str,
    limit: int | None = None,
    frame_every_s: float | None = 1.0,
    progress: ListingProgress | None = None,
    dicom: DicomSettings = DicomSettings(),
    max_bytes: int = MAX_BYTES,
    *,
    is_gold: bool = False,
) -> Listing:
    """The images of a corpus in a fixed order, what cannot be listed, and the account of every source.

    At most `limit` images; nothing is read beyond them. A video gives an image for each of its frames that
    are `frame_every_s` apart, or if that is None stays one entry, to be tracked; a DICOM file gives one for
    each of its frames; `max_bytes`: of a DICOM file. The addresses of a corpus with DICOM files are hidden
    (see `hiding`), unless `dicom` keeps them. Raises CorpusError if there is no corpus, if it names nothing,
    or if it has only videos or DICOM files and nothing that reads them is installed. `progress` is kept up
    to date meanwhile. `is_gold`: videos that are kept as images are listed as their images.
    """
    progress, wanted = progress or ListingProgress(), WantedImages()
    frames = DicomFrames(dicom, max_bytes)
    videos = ListedVideos(frame_every_s, keeps_sequences=frame_every_s is None and not is_gold)
    items = with_frames(read_items(corpus, progress, wanted, frames), videos, frames)
    listing = gather(items, limit, progress, wanted)
    sources = [_with_videos(source, videos.whole[source.source]) for source in listing.sources]
    has_videos = bool(videos.whole.total())
    listing = replace(listing, sources=sources, has_dicom=frames.found, has_videos=has_videos)
    if not listing.entries and not listing.rejects:
        raise CorpusError(f"{corpus} names no image")
    no_decoder = next(
        (reject for reject in listing.rejects if reject.reason in (NO_DECODER, NO_READER)), None
    )
    if no_decoder is not None and not listing.entries:
        raise CorpusError(no_decoder.message)
    if not frames.found or dicom.keep_paths:
        return listing
    if listing.has_videos and any(entry.frame_files for entry in listing.entries):
        raise CorpusError(
            f"{corpus} has DICOM files, so no address in it is kept, and videos that are kept as images, "
            "which are found by addresses: label them apart (or --keep-dicom-paths, or --tracker none)"
        )
    return hide_listing(listing)


def load_gold(gold: str, with_model_labels: bool = False) -> Listing:
    """A corpus that serves as gold. Of a dataset of the project what came with its corpus and what people
    wrote or confirmed; `with_model_labels`: what its model said as well.

    Raises CorpusError as `load_listing` does, ConfigError if gold has no labels of a model to take.
    """
    if not with_model_labels:
        return _without_videos(load_listing(gold, frame_every_s=None, dicom=_GOLD_DICOM, is_gold=True))
    folder = normalise(gold)
    manifest = load_own_manifest(folder)
    if manifest is None:
        raise ConfigError(f"--gold {gold} is no dataset of this project, so it has no labels of a model")
    return gather(read_own_dataset(folder, manifest, with_model_labels=True))


def _with_videos(source: SourceCounts, num_read: int) -> SourceCounts:
    """The account with its number of whole videos; a limit may leave some out that were read."""
    attached = source.attached.get(ContentKind.IMAGES, 0)
    return source.model_copy(update={"videos": min(num_read, attached)}) if num_read else source


def _without_videos(listing: Listing) -> Listing:
    """The listing without whole videos: their tracks are read by `forms.track_files`."""
    if not listing.has_videos:
        return listing
    return replace(listing, entries=EntryList(entry for entry in listing.entries if not is_tracked(entry)))


def read_items(
    corpus: str,
    progress: ListingProgress,
    wanted: WantedImages | None = None,
    dicom: DicomFrames | None = None,
) -> Items:
    """What the sources of a corpus say, by the reader of its form. Raises CorpusError if there is none.

    `wanted`: what a list of records says of other images may be left out.
    """
    address = normalise(corpus)
    kind = kind_of(address) if not (is_web(corpus) and is_pattern(corpus)) else "nothing"
    if kind == "folder":
        return _read_folder_form(address, progress, wanted)
    if kind in ("file", "other"):
        return _read_file_form(address, wanted, dicom or DicomFrames(DicomSettings(), MAX_BYTES))
    if not is_pattern(corpus):
        raise CorpusError(f"no corpus at {corpus}: there is no such file or folder (a corpus is {_FORMS})")
    addresses = expand(corpus)
    if not addresses:
        raise CorpusError(f"no corpus at {corpus}: no file matches")
    return _read_group(addresses, wanted)


def _read_group(addresses: list[str], wanted: WantedImages | None) -> Items:
    suffixes = {suffix_of(address) for address in addresses}
    if suffixes <= set(_TARS):
        return read_webdataset(addresses)
    if suffixes == {".xml"}:
        return read_xml(addresses)
    if len(suffixes) == 1 and (suffix := suffixes.pop()) in (".jsonl", ".parquet", ".txt", ".json", ".csv"):
        return (item for address in addresses for item in _read_list(address, suffix, wanted))
    return read_files(addresses)


def _read_list(address: str, suffix: str, wanted: WantedImages | None) -> Items:
    if suffix in _RECORD_LISTS:
        return _RECORD_LISTS[suffix](address, wanted=wanted)
    return _LISTS[suffix](address)


def _read_file_form(address: str, wanted: WantedImages | None, dicom: DicomFrames) -> Items:
    suffix = suffix_of(address)
    if suffix in _LISTS or suffix in _RECORD_LISTS:
        return _read_list(address, suffix, wanted)
    if suffix in _TARS:
        return read_webdataset([address])
    if suffix == ".xml":
        return read_xml([address])
    if not is_video(address) and dicom.takes(address, whatever_name=True):
        return dicom.read_directory(address) if dicom.is_directory(address) else read_files([address])
    if (message := unread_suffix(suffix)) is not None:
        raise CorpusError(f"{address} is {message}")
    if suffix and suffix not in Image.registered_extensions() and not is_video(address):
        raise CorpusError(f"{address} is not a corpus: looked for {_FORMS}, or an image")
    return read_files([address])


def _read_folder_form(folder: str, progress: ListingProgress, wanted: WantedImages | None) -> Items:
    try:
        files, folders = children(folder)
    except OSError as error:
        raise CorpusError(f"cannot list {folder}: {one_line(error)}") from error
    if ANNOTATIONS_NAME in files:
        return read_annotations(join(folder, ANNOTATIONS_NAME), wanted=wanted)
    if MANIFEST in files and (manifest := load_own_manifest(folder)) is not None:
        return read_own_dataset(folder, manifest)
    if is_yolo_folder(folder, files, folders):
        return chain(read_yolo_folder(folder), unread_beside_yolo(folder))
    visible = [name for name in files if not name.startswith(".")]
    tars = [name for name in visible if suffix_of(join(folder, name)) in _TARS]
    if tars and not folders and len(tars) == len(visible):
        return read_webdataset(join_verbatim(folder, name) for name in tars)
    xml = [join_verbatim(folder, name) for name in visible if name.lower().endswith(".xml")]
    if xml and not folders and len(xml) == len(visible) and is_voc(xml[0]):
        return read_voc_folder(folder, xml)
    if not folders and visible and all(name.lower().endswith(".txt") for name in visible):
        if all(is_mot_text(join_verbatim(folder, name)) for name in visible):
            return chain.from_iterable(items_of_mot_text(join_verbatim(folder, name)) for name in visible)
        return read_yolo_folder(folder)
    return read_annotated_folder(folder, progress)
