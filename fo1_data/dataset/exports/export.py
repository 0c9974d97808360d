"""Exports of a finished dataset into the formats of other tools, by name.

What a format cannot hold is dropped, as its module says. An export is not a dataset: it has no manifest
and is not read back.
"""

from collections.abc import Callable
from typing import get_args

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.exports.coco import export_coco
from fo1_data.dataset.exports.dicom_sr import export_dicom_sr
from fo1_data.dataset.exports.geo import export_geojson, export_geoparquet
from fo1_data.dataset.exports.messages import Profile, export_messages
from fo1_data.dataset.exports.mot import export_mot
from fo1_data.dataset.exports.places import image_prefix
from fo1_data.dataset.exports.preferences import export_preferences
from fo1_data.dataset.exports.webdataset import export_webdataset
from fo1_data.dataset.exports.yolo import export_yolo
from fo1_data.dataset.exports.youtube_vis import export_youtube_vis
from fo1_data.dataset.reader import Dataset, open_dataset
from fo1_data.errors import ConfigError, DatasetError
from fo1_data.storage.store import open_store

PROFILES: tuple[str, ...] = get_args(Profile)
FILE_NAMES = ("absolute", "relative")
FORMATS = (
    "coco",
    "dicom-sr",
    "geojson",
    "geoparquet",
    "messages",
    "mot",
    "preferences",
    "webdataset",
    "yolo",
    "youtube-vis",
)


def export_dataset(
    address: str,
    form: str,
    out: str,
    profile: str | None = None,
    *,
    copy_images: bool = False,
    file_names: str | None = None,
    image_root: str | None = None,
    dicom_files: str | None = None,
) -> dict[str, int]:
    """Write the dataset at `address` in `form` into the empty folder `out`; returns what was written.

    `profile`: the trainer of `messages`, by default the first. `copy_images`: of `coco`, `mot` and
    `youtube-vis`; other forms always copy. `file_names` (`absolute` or `relative`): of `coco`. `image_root`:
    where a trainer finds the folder `out`, for `messages` and `preferences`. `dicom_files`: the folder of the
    labelled files, for `dicom-sr`. Raises ConfigError for an unknown format or profile, DatasetError if the
    dataset or an image that the format needs cannot be read, or if the folder is not empty.
    """
    if form not in FORMATS:
        raise ConfigError(f"no export format {form!r}: take one of {', '.join(FORMATS)}")
    if profile is not None and (form != "messages" or profile not in PROFILES):
        raise ConfigError(f"--profile goes with --format messages and is one of {', '.join(PROFILES)}")
    if file_names is not None and (form != "coco" or file_names not in FILE_NAMES):
        raise ConfigError(f"--file-names goes with --format coco and is one of {', '.join(FILE_NAMES)}")
    if image_root is not None and form not in ("messages", "preferences"):
        raise ConfigError("--image-root goes with --format messages and --format preferences")
    if dicom_files is not None and form != "dicom-sr":
        raise ConfigError("--dicom-files goes with --format dicom-sr")
    dataset, store = open_dataset(address), open_store(out)
    if store.list():
        raise DatasetError(f"{store.url} is not empty: name a new folder as --out")
    limits = InputLimits()
    prefix = image_prefix(store, image_root)
    writers: dict[str, Callable[[Dataset], dict[str, int]]] = {
        "coco": lambda dataset: export_coco(
            dataset, store, limits, copy_images=copy_images, file_names=file_names or ""
        ),
        "dicom-sr": lambda dataset: export_dicom_sr(dataset, store, dicom_files),
        "geojson": lambda dataset: export_geojson(dataset, store),
        "geoparquet": lambda dataset: export_geoparquet(dataset, store),
        "messages": lambda dataset: export_messages(dataset, store, limits, profile or PROFILES[0], prefix),
        "mot": lambda dataset: export_mot(dataset, store, copy_images=copy_images),
        "youtube-vis": lambda dataset: export_youtube_vis(dataset, store, copy_images=copy_images),
        "yolo": lambda dataset: export_yolo(dataset, store, limits),
        "preferences": lambda dataset: export_preferences(dataset, store, limits, prefix),
        "webdataset": lambda dataset: export_webdataset(dataset, store, limits),
    }
    return writers[form](dataset)
