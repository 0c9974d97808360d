"""Listing of a corpus in any form: detects the form, calls its reader and gathers what it yields.

A folder is, in this order: the project's own form (it contains `annotations.jsonl`), a dataset of the
project, YOLO, a set of WebDataset tars, only Pascal VOC's XML files, only text files of YOLO, or a folder of
images and of annotation files of any tool (`annotated_folder`). The form of a file is decided by its suffix,
that of JSON, XML and CSV then by its contents. Only files that list images are opened; the labeller reads the
images themselves.
"""

from collections.abc import Callable, Iterator
from itertools import chain

from PIL import Image

from fo1_data.corpus.forms.annotated_folder import read_annotated_folder, unread_beside_yolo
from fo1_data.corpus.forms.annotation_files import read_csv, read_json, read_xml
from fo1_data.corpus.forms.annotations import read_annotations
from fo1_data.corpus.forms.folder import ONE_IMAGE, read_files
from fo1_data.corpus.forms.own_dataset import MANIFEST, load_own_manifest, read_own_dataset
from fo1_data.corpus.forms.uri_list import read_parquet_list, read_text_list
from fo1_data.corpus.forms.voc import is_voc, read_voc_folder
from fo1_data.corpus.forms.webdataset import read_webdataset
from fo1_data.corpus.forms.yolo import is_yolo_folder, read_yolo_folder, read_yolo_yaml
from fo1_data.corpus.listing import (
    Found,
    Item,
    Listing,
    Piece,
    PlainImage,
    Refused,
    WantedImages,
    contents_of,
    gather,
)
from fo1_data.corpus.listing_progress import ListingProgress
from fo1_data.corpus.places import children, expand, is_pattern, join_verbatim, kind_of, listing_reject
from fo1_data.corpus.videos import NO_DECODER, is_video, list_frames
from fo1_data.errors import ConfigError, CorpusError
from fo1_data.storage.addresses import is_web, join, normalise, suffix_of
from fo1_data.storage.streams import one_line
from schemas.corpus import CorpusImage
from schemas.images import Reject
from schemas.sources import ContentKind

Items = Iterator[Item]

ANNOTATIONS_NAME = "annotations.jsonl"
_TARS = (".tar", ".tar.gz", ".tgz")
# Lists whose records can say more of an image that an earlier one named.
_RECORD_LISTS: dict[str, Callable[..., Items]] = {
    ".jsonl": read_annotations,
    ".ndjson": read_annotations,
    ".parquet": read_parquet_list,
    ".json": read_json,
}
_LISTS = {
    ".txt": read_text_list,
    ".csv": read_csv,
    ".yaml": read_yolo_yaml,
    ".yml": read_yolo_yaml,
}
_FORMS = (
    "a folder, a glob, a .txt, .jsonl or .parquet list, COCO .json, Pascal VOC .xml, "
    "a YOLO data.yaml, the .json, .xml or .csv of a labelling tool, WebDataset .tar files or videos"
)


def load_listing(
    corpus: str,
    limit: int | None = None,
    frame_every_s: float = 1.0,
    progress: ListingProgress | None = None,
) -> Listing:
    """The images of a corpus in a fixed order, what cannot be listed, and the account of every source.

    At most `limit` images; nothing is read beyond them. A video gives an image for each of its frames,
    `frame_every_s` apart. Raises CorpusError if there is no corpus, if it names nothing, or if it has only
    videos and no video decoder is installed. `progress` is kept up to date meanwhile.
    """
    progress, wanted = progress or ListingProgress(), WantedImages()
    items = _with_frames(read_items(corpus, progress, wanted), frame_every_s)
    listing = gather(items, limit, progress, wanted)
    if not listing.entries and not listing.rejects:
        raise CorpusError(f"{corpus} names no image")
    no_decoder = next((reject for reject in listing.rejects if reject.reason == NO_DECODER), None)
    if no_decoder is not None and not listing.entries:
        raise CorpusError(no_decoder.message)
    return listing


def load_gold(gold: str, with_model_labels: bool = False) -> Listing:
    """A corpus that serves as gold. Of a dataset of the project what came with its corpus and what people
    wrote or confirmed; `with_model_labels`: what its model said as well.

    Raises CorpusError as `load_listing` does, ConfigError if gold has no labels of a model to take.
    """
    if not with_model_labels:
        return load_listing(gold)
    folder = normalise(gold)
    manifest = load_own_manifest(folder)
    if manifest is None:
        raise ConfigError(f"--gold {gold} is no dataset of this project, so it has no labels of a model")
    return gather(read_own_dataset(folder, manifest, with_model_labels=True))


def _with_frames(items: Items, every_s: float) -> Items:
    """The items, with the frames of videos in place of videos."""
    for item in items:
        if isinstance(item, PlainImage):
            if not is_video(item.uri):
                yield item
                continue
            yield Found(item.source, ONE_IMAGE)
            item = Piece(item.source, CorpusImage(uri=item.uri))
        if isinstance(item, Piece) and item.entry.inner is None and is_video(item.entry.uri):
            yield from _frames(item, every_s)
        else:
            yield item


def _frames(item: Piece, every_s: float) -> Items:
    """The frames of a video, with what its source says in `meta`."""
    contents = contents_of(item.entry)
    for number, frame in enumerate(list_frames(item.entry, every_s)):
        if isinstance(frame, Reject):
            yield Refused(item.source, contents, frame)
            return
        if number > 0:
            yield Found(item.source, {ContentKind.IMAGES: 1})
        elif contents.total() > 1:
            contents[ContentKind.IMAGES] = 0
            message = f"{item.entry.uri}: what a source says of a whole video is not read"
            yield Refused(item.source, +contents, listing_reject(item.entry.uri, "labels_of_video", message))
        yield Piece(item.source, frame, item.sidecars if number == 0 else 0)


def read_items(corpus: str, progress: ListingProgress, wanted: WantedImages | None = None) -> Items:
    """What the sources of a corpus say, by the reader of its form. Raises CorpusError if there is none.

    `wanted`: what a list of records says of other images may be left out.
    """
    address = normalise(corpus)
    kind = kind_of(address) if not (is_web(corpus) and is_pattern(corpus)) else "nothing"
    if kind == "folder":
        return _read_folder_form(address, progress, wanted)
    if kind in ("file", "other"):
        return _read_file_form(address, wanted)
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


def _read_file_form(address: str, wanted: WantedImages | None) -> Items:
    suffix = suffix_of(address)
    if suffix in _LISTS or suffix in _RECORD_LISTS:
        return _read_list(address, suffix, wanted)
    if suffix in _TARS:
        return read_webdataset([address])
    if suffix == ".xml":
        return read_xml([address])
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
        return read_yolo_folder(folder)
    return read_annotated_folder(folder, progress)
