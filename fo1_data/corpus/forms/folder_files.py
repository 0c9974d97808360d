"""The files of a folder by kind: images, annotations of any tool, sequences, and others.

Knows files by their names; opens only lists of classes and the texts of sequences.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from fo1_data.corpus.forms import caption_text, mot
from fo1_data.corpus.forms.annotation_files import load_class_list
from fo1_data.corpus.forms.class_names import NamelessClasses
from fo1_data.corpus.forms.image_lookup import FolderImages, has_image_suffix
from fo1_data.corpus.forms.mot_lines import is_mot_text
from fo1_data.corpus.listing_progress import ListingProgress
from fo1_data.corpus.places import walk
from fo1_data.corpus.raster_files import RASTER_SUFFIXES, owner_name
from fo1_data.storage.addresses import base_name, parent, suffix_of
from schemas.images import Reject

_ANNOTATIONS = (
    ".json",
    ".jsonl",
    ".ndjson",
    ".xml",
    ".csv",
    ".parquet",
    ".txt",
    ".tsv",
    ".yaml",
    ".yml",
    caption_text.SUFFIX,
)
# Annotations in forms that nothing here reads.
OTHER_ANNOTATIONS = (".mat", ".datum", ".tfrecord", ".record", ".arrow")
# Files that come with annotations and are neither these nor images.
_COMPANIONS = (
    ".data",
    ".names",
    ".meta",
    ".md",
    ".html",
    ".cfg",
    ".pbtxt",
    ".gitattributes",
    ".license",
    ".py",
)


@dataclass
class FolderFiles:
    """The files of a folder by kind.

    `sequences`: folders of videos that are kept as images. `framed`: images that are frames of a video.
    `classes`: names of Open Images' classes by id. `yolo_names`: by folder of label files, the names of the
    classes by number and whether labels have key points; `nameless`: the classes there that have none.
    """

    address: str
    images: list[str] = field(default_factory=list)
    annotations: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    sequences: list[str] = field(default_factory=list)
    framed: set[str] = field(default_factory=set)
    classes: dict[str, str] = field(default_factory=dict)
    yolo_names: dict[str, tuple[dict[int, str], bool]] = field(default_factory=dict)
    nameless: dict[str, NamelessClasses] = field(default_factory=dict)

    @cached_property
    def lookup(self) -> FolderImages:
        """The images by name, for the annotation files."""
        return FolderImages([*self.images, *self.others])


def is_companion(address: str) -> bool:
    """Whether a file comes with annotations and is neither these nor an image."""
    name = base_name(address).lower()
    return name.endswith(_COMPANIONS) or name in ("readme", "license", "licence", ".ds_store")


def list_folder_files(address: str, progress: ListingProgress) -> FolderFiles:
    """All files below a folder."""
    folder = FolderFiles(address)
    for item in walk(address):
        progress.files_found += 1
        if isinstance(item, Reject):
            folder.rejects.append(item)
        elif has_image_suffix(base_name(item)):
            folder.images.append(item)
        elif suffix_of(item) in (*_ANNOTATIONS, *OTHER_ANNOTATIONS):
            folder.annotations.append(item)
        else:
            folder.others.append(item)
    _take_sequences(folder)
    for item in folder.annotations:
        if suffix_of(item) == ".csv":
            folder.classes |= load_class_list(item)
    return folder


def _take_sequences(folder: FolderFiles) -> None:
    """Take the files of sequences of MOT challenge out of the annotations, but not their images."""
    places = [parent(item) for item in folder.others if base_name(item) == mot.INFO]
    places += [parent(parent(item)) for item in folder.annotations if _is_gold(item)]
    folder.sequences = list(dict.fromkeys(places))
    taken = {f"{place}/{name}" for place in folder.sequences for name in mot.FILES}
    for files in (folder.others, folder.annotations):
        files[:] = [file for file in files if file not in taken]


def _is_gold(address: str) -> bool:
    """Whether a file is the gold of a sequence; other data sets have a `gt.txt` too."""
    return address.endswith("/gt/gt.txt") and is_mot_text(address)


def take_raster_sidecars(folder: FolderFiles) -> Counter[str]:
    """Take masks, overviews, world files and statistics of rasters out of the files; how many each has."""
    owner_of = {image: image for image in folder.images if suffix_of(image) in RASTER_SUFFIXES}
    owner_of |= {image[: -len(suffix_of(image))]: image for image in list(owner_of)}
    counts: Counter[str] = Counter()
    for files in (folder.others, folder.annotations):
        owners = {file: owner_of.get(owner_name(file) or "") for file in files}
        files[:] = [file for file in files if owners[file] is None]
        counts.update(owner for owner in owners.values() if owner is not None)
    return counts


def walk_order(folder: str) -> Callable[[str], tuple[list[str], str]]:
    """The order of `walk`: the files of a folder before those of its folders."""

    def key(address: str) -> tuple[list[str], str]:
        return parent(address).removeprefix(folder).split("/"), base_name(address)

    return key
