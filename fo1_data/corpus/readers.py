"""Reading of a corpus in any form as a stream of entries: detects the form and calls its reader.

A folder is, in this order: the project's own form (it contains `annotations.jsonl`), YOLO, Pascal VOC, a set
of WebDataset tars, or plain images. The form of a file is decided by its suffix. Only files that list images
are opened; the labeller reads the images themselves.
"""

from collections.abc import Iterable, Iterator

from PIL import Image

from fo1_data.corpus.forms.annotations import read_annotations
from fo1_data.corpus.forms.coco import read_coco
from fo1_data.corpus.forms.folder import read_files, read_folder
from fo1_data.corpus.forms.uri_list import read_parquet_list, read_text_list
from fo1_data.corpus.forms.voc import read_voc
from fo1_data.corpus.forms.webdataset import read_webdataset
from fo1_data.corpus.forms.yolo import is_yolo_folder, read_yolo_folder, read_yolo_yaml
from fo1_data.corpus.places import children, expand, is_pattern, join_verbatim, kind_of
from fo1_data.corpus.videos import NO_DECODER, is_video, list_frames
from fo1_data.errors import CorpusError
from fo1_data.storage.addresses import is_web, join, normalise, suffix_of
from fo1_data.storage.streams import one_line, open_stream
from schemas.corpus import CorpusImage
from schemas.images import Reject

Items = Iterator[CorpusImage | Reject]

ANNOTATIONS_NAME = "annotations.jsonl"
_TARS = (".tar", ".tar.gz", ".tgz")
_LISTS = {
    ".jsonl": read_annotations,
    ".ndjson": read_annotations,
    ".txt": read_text_list,
    ".parquet": read_parquet_list,
    ".json": read_coco,
    ".yaml": read_yolo_yaml,
    ".yml": read_yolo_yaml,
}
_FORMS = (
    "a folder, a glob, a .txt, .jsonl or .parquet list, COCO .json, Pascal VOC .xml, "
    "a YOLO data.yaml, WebDataset .tar files or videos"
)


def read_corpus(corpus: str, limit: int | None = None, frame_every_s: float = 1.0) -> Items:
    """The entries of a corpus in a fixed order, and a reject (stage `listing`) for what cannot be listed.

    At most `limit` entries. A video gives an entry for each of its frames, `frame_every_s` apart.
    Raises CorpusError at once if there is no corpus, and at the end if the corpus named nothing, or only
    videos although no video decoder is installed.
    """
    items = _check_not_empty(_dispatch(corpus), corpus)
    with_frames = (entry for item in items for entry in _frames(item, frame_every_s))
    return _limited(_check_video_decoder(with_frames), limit)


def _check_video_decoder(items: Items) -> Items:
    """Raises CorpusError at the end if there are only videos and no decoder for them."""
    message, num_entries = None, 0
    for item in items:
        num_entries += isinstance(item, CorpusImage)
        if isinstance(item, Reject) and item.reason == NO_DECODER:
            message = item.message
        yield item
    if message is not None and not num_entries:
        raise CorpusError(message)


def _frames(item: CorpusImage | Reject, every_s: float) -> Items:
    """The frames of a video; any other item unchanged."""
    if isinstance(item, CorpusImage) and item.inner is None and is_video(item.uri):
        yield from list_frames(item, every_s)
    else:
        yield item


def _limited(items: Items, limit: int | None) -> Items:
    remaining = limit
    for item in items:
        if remaining == 0 and isinstance(item, CorpusImage):
            return
        if remaining is not None and isinstance(item, CorpusImage):
            remaining -= 1
        yield item
        if remaining == 0:
            return


def _check_not_empty(items: Items, corpus: str) -> Items:
    empty = True
    for item in items:
        empty = False
        yield item
    if empty:
        raise CorpusError(f"{corpus} names no image")


def _dispatch(corpus: str) -> Items:
    address = normalise(corpus)
    kind = kind_of(address) if not (is_web(corpus) and is_pattern(corpus)) else "nothing"
    if kind == "folder":
        return _read_folder_form(address)
    if kind in ("file", "other"):
        return _read_file_form(address)
    if not is_pattern(corpus):
        raise CorpusError(f"no corpus at {corpus}: there is no such file or folder (a corpus is {_FORMS})")
    addresses = expand(corpus)
    if not addresses:
        raise CorpusError(f"no corpus at {corpus}: no file matches")
    return _read_group(addresses)


def _read_group(addresses: list[str]) -> Items:
    suffixes = {suffix_of(address) for address in addresses}
    if suffixes <= set(_TARS):
        return read_webdataset(addresses)
    if suffixes == {".xml"}:
        return read_voc(addresses)
    if len(suffixes) == 1 and (suffix := suffixes.pop()) in (".jsonl", ".parquet", ".txt", ".json"):
        return (item for address in addresses for item in _LISTS[suffix](address))
    return read_files(addresses)


def _read_file_form(address: str) -> Items:
    suffix = suffix_of(address)
    if suffix in _LISTS:
        return _LISTS[suffix](address)
    if suffix in _TARS:
        return read_webdataset([address])
    if suffix == ".xml":
        return read_voc([address])
    if suffix and suffix not in Image.registered_extensions() and not is_video(address):
        raise CorpusError(f"{address} is not a corpus: looked for {_FORMS}, or an image")
    return read_files([address])


def _read_folder_form(folder: str) -> Items:
    try:
        files, folders = children(folder)
    except OSError as error:
        raise CorpusError(f"cannot list {folder}: {one_line(error)}") from error
    if ANNOTATIONS_NAME in files:
        return read_annotations(join(folder, ANNOTATIONS_NAME))
    if is_yolo_folder(folder, files, folders):
        return read_yolo_folder(folder)
    annotations = _voc_files(folder, files, folders)
    if annotations is not None:
        return read_voc(annotations)
    visible = [name for name in files if not name.startswith(".")]
    tars = [name for name in visible if suffix_of(join(folder, name)) in _TARS]
    if tars and not folders and len(tars) == len(visible):
        return read_webdataset(join_verbatim(folder, name) for name in tars)
    if not folders and visible and all(name.lower().endswith(".txt") for name in visible):
        return read_yolo_folder(folder)
    return read_folder(folder)


def _voc_files(folder: str, files: list[str], folders: list[str]) -> Iterable[str] | None:
    """The XML files of a Pascal VOC folder, in its `Annotations/` or directly in it; else None."""
    for subfolder in (name for name in folders if name.lower() == "annotations"):
        inner = join_verbatim(folder, subfolder)
        names = [name for name in children(inner)[0] if name.lower().endswith(".xml")]
        if names:
            return [join_verbatim(inner, name) for name in names]
    names = [name for name in files if name.lower().endswith(".xml")]
    if names and _is_voc(join_verbatim(folder, names[0])):
        return [join_verbatim(folder, name) for name in names]
    return None


def _is_voc(address: str) -> bool:
    try:
        with open_stream(address) as stream:
            return b"<annotation" in stream.read(4096)
    except CorpusError:
        return False
