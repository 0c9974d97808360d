"""Trying the rejects of a finished dataset again: which rejects, and how the old version is kept.

Versions are immutable, so a replay adds data files and never rewrites one. The version it starts
from stays readable as `manifest.<version>.json`, its rejects as `rejects.<version>.parquet`; so do its videos
and tracks. A reject is tried again when it is of a whole input and carries its corpus entry; rejected boxes
and lines that could not be listed stay as they are.
"""

from collections.abc import Iterator

from pydantic import ValidationError

from fo1_data.dataset.layout import REJECTS, RUN, TRACKS, VIDEOS, is_table, older_name
from fo1_data.dataset.manifest import read_manifest, write_manifest
from fo1_data.dataset.reader import column_values
from fo1_data.dataset.stored_rows import load_rejects
from fo1_data.errors import DatasetError
from fo1_data.storage.store import Store, open_store
from schemas.corpus import CorpusImage
from schemas.dataset import Manifest, ManifestFile
from schemas.images import Reject, RejectStage

_COPIED_BYTES = 2**22


def replay_entries(out: str) -> list[CorpusImage]:
    """The corpus entries of the rejects that a replay of the dataset at `out` tries again, each once.

    Raises DatasetError if there is no finished dataset or the entry of a reject cannot be read.
    """
    store = open_store(out)
    rejects = load_rejects(store, rejects_file(read_manifest(store)))
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


def rejects_file(manifest: Manifest) -> str:
    """The file that holds a version's rejects."""
    paths = [file.path for file in manifest.files if is_table(file.path, REJECTS)]
    return paths[0] if paths else REJECTS


def kept_rejects(store: Store, manifest: Manifest) -> list[Reject]:
    """The rejects of a version that its replay does not try again."""
    rejects = load_rejects(store, rejects_file(manifest))
    again = {reject.uri for reject in rejects if is_tried_again(reject)}
    return [reject for reject in rejects if not is_tried_again(reject) and reject.uri not in again]


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
