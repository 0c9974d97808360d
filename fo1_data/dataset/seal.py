"""The end of every dataset version, made by a run or from another version.

Writes the rejects, the correction history, the dataset card and, last, the manifest: a version without a
manifest does not exist. Safe to repeat until the manifest is there. Does not write rows and does not
delete what a run or a derivation left behind.
"""

from collections.abc import Sequence

from fo1_data.dataset.card import dataset_card
from fo1_data.dataset.history import CorrectionHistory, write_history
from fo1_data.dataset.layout import (
    CARD,
    REJECTS,
    TRACKS,
    VIDEOS,
    code_version,
    data_file,
    split_and_index,
)
from fo1_data.dataset.manifest import lineage, now, write_first_manifest, write_manifest
from fo1_data.dataset.stored_rows import write_rejects, write_rows
from fo1_data.storage.store import Store
from schemas.dataset import SCHEMA_VERSION, Manifest, ManifestFile
from schemas.images import Reject


def seal_version(
    store: Store,
    draft: Manifest,
    rejects: Sequence[Reject],
    history: CorrectionHistory | None = None,
    parent: Manifest | None = None,
    *,
    replaces: bool = False,
) -> Manifest:
    """End a version and return its manifest, or that of the driver that ended it meanwhile.

    `draft`: the manifest with the files that are in place and the counts of their rows; without a data
    file an empty one is written. Time, code version, schema version and the numbers of rejects, videos and
    tracks are set here. `history`: the corrections of the version's images, to be written. `parent`: the
    version that this one was made from. `replaces`: it takes the place of a version in the same folder.
    """
    files = list(draft.files)
    if not any(split_and_index(file.path) for file in files):
        files.append(write_rows(store, data_file("train", 0), []))
    files.append(write_rejects(store, rejects))
    if history is not None:
        files += write_history(store, history)
    manifest = draft.model_copy(
        update={
            "schema_version": SCHEMA_VERSION,
            "created_at": now(),
            "code_version": code_version(),
            "files": files,
            "counts": draft.counts.model_copy(update=_rows_of_tables(files)),
            **(lineage(parent) if parent is not None else {}),
        }
    )
    store.write_bytes(CARD, dataset_card(manifest).encode())
    if not replaces:
        return write_first_manifest(store, manifest)
    write_manifest(store, manifest)
    return manifest


def _rows_of_tables(files: Sequence[ManifestFile]) -> dict[str, int]:
    """The counts that are rows of the tables beside `data/`."""
    rows = {file.path: file.num_rows for file in files}
    tables = {"rejected": REJECTS, "videos": VIDEOS, "tracks": TRACKS}
    return {name: rows.get(path, 0) for name, path in tables.items()}
