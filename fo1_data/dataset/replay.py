"""Trying the rejects of a finished dataset again: which rejects, and how the old version is kept.

Versions are immutable, so a replay adds data files and never rewrites one. The version it starts
from stays readable as `manifest.<version>.json`, its rejects as `rejects.<version>.parquet`; so do its videos
and tracks. A reject is tried again when it is of a whole input and carries its corpus entry; rejected boxes
and lines that could not be listed stay as they are.
"""

import hashlib
import io
from collections.abc import Iterator

import pyarrow.parquet as pq
from pydantic import ValidationError

from fo1_data.dataset.done_shards import FROM_COPY
from fo1_data.dataset.layout import REJECTS, RUN, TRACKS, VIDEOS, is_table, older_name
from fo1_data.dataset.manifest import read_manifest, write_manifest
from fo1_data.dataset.reader import column_values
from fo1_data.dataset.rows import table_to_rejects
from fo1_data.errors import DatasetError
from fo1_data.storage.store import Store, open_store
from schemas.corpus import CorpusImage
from schemas.dataset import Manifest, ManifestFile
from schemas.images import Reject, RejectStage

_COPIED_BYTES = 2**22


def replay_entries(out: str) -> list[CorpusImage]:
    """The corpus entries of the rejects that a replay of the dataset at `out` tries again, each once.

    Raises DatasetError if there is no finished dataset, or if its rejects or an entry kept with one of them
    cannot be read.
    """
    store = open_store(out)
    rejects = _load_rejects(store, read_manifest(store))
    sources = dict.fromkeys(reject.source for reject in rejects if is_tried_again(reject))
    try:
        return [CorpusImage.model_validate_json(source) for source in sources if source is not None]
    except ValidationError as error:
        raise DatasetError(f"{store.url}: the entry kept with a reject cannot be read: {error}") from error


def is_tried_again(reject: Reject) -> bool:
    """True for a whole input whose corpus entry is known."""
    return reject.source is not None and reject.stage not in (RejectStage.BOX, RejectStage.LISTING)


def replay_folder(version: str) -> str:
    """The run folder of the replay that makes `version`."""
    return f"{RUN}/replay-{version}"


def kept_rejects(store: Store, manifest: Manifest) -> list[Reject]:
    """The rejects of a version that its replay does not try again. Raises as `replay_entries`."""
    rejects = _load_rejects(store, manifest)
    again = {reject.uri for reject in rejects if is_tried_again(reject)}
    return [reject for reject in rejects if not is_tried_again(reject) and reject.uri not in again]


def _load_rejects(store: Store, manifest: Manifest) -> list[Reject]:
    """The rejects of a version, from a file with the bytes that its manifest lists."""
    file = next((file for file in manifest.files if is_table(file.path, REJECTS)), None)
    if file is None:
        return []
    try:
        data = store.read_bytes(file.path)
    except FileNotFoundError as error:
        raise DatasetError(f"{store.address(file.path)} is gone: {FROM_COPY}") from error
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise DatasetError(f"{store.address(file.path)} is damaged: {FROM_COPY}")
    return table_to_rejects(pq.ParquetFile(io.BytesIO(data)).read())


def image_uris(store: Store, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """The id and the address of each image of a version."""
    for record in column_values(store, manifest, ["image_id", "uri"]):
        yield record["image_id"], record["uri"]


def keep_version(store: Store, manifest: Manifest) -> Manifest:
    """Keep a version beside the next one and return its manifest. After every step its files are there."""
    files = [_keep_table(store, file, manifest.version) for file in manifest.files]
    manifest = manifest.model_copy(update={"files": files})
    write_manifest(store, manifest, f"manifest.{manifest.version}.json")
    write_manifest(store, manifest)
    return manifest


def _keep_table(store: Store, file: ManifestFile, version: str) -> ManifestFile:
    """A file that the next version writes anew, kept under a name of its own; any other file as it is."""
    if file.path not in (REJECTS, VIDEOS, TRACKS):
        return file
    kept_path = older_name(file.path, version)
    with store.open_input(file.path) as source:
        store.write_chunks(kept_path, iter(lambda: source.read(_COPIED_BYTES), b""))
    return file.model_copy(update={"path": kept_path})
