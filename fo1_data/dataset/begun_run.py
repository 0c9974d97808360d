"""The run that was begun in a folder, by its fingerprint: begun anew, gone on with, or refused."""

from collections.abc import Callable, Mapping
from typing import Any

from fo1_data.dataset.layout import RUN, fingerprint_file
from fo1_data.dataset.manifest import (
    LATE_ENTRIES,
    LISTING_ENTRIES,
    check_fingerprint,
    dump_json,
    find_manifest,
    read_json,
)
from fo1_data.errors import DatasetError
from fo1_data.storage.store import Store
from schemas.dataset import Manifest

# A dataset that is complete is not written again, whatever its schema version.
_SCHEMA_ENTRY = frozenset({"schema_version"})


def begin_or_resume(
    store: Store, fingerprint: Mapping[str, Any], manifest: Manifest | None, *, replay: bool = False
) -> dict[str, Any]:
    """The fingerprint of the run in `store`; it is begun under `fingerprint` if there is none.

    Raises as `check_begun`.
    """
    begun = _begun_here(store, manifest)
    if begun is None:
        store.create_exclusive(fingerprint_file(RUN), dump_json(dict(fingerprint)))
        begun = read_json(store, fingerprint_file(RUN))
    ignored = _ignored(manifest, replay)
    check_fingerprint(store.url, _without(begun, ignored), _without(fingerprint, ignored))
    return begun


def check_begun(
    store: Store, known: Mapping[str, Any], listing_change: Callable[[], str], *, replay: bool = False
) -> Manifest | None:
    """Compare the run in `store` with `known`, the entries of a fingerprint that are known already.

    Returns the manifest if the dataset there is finished. Writes nothing. Raises FingerprintError, naming
    every difference, and DatasetError if the folder holds something else.
    """
    manifest = find_manifest(store)
    begun = _begun_here(store, manifest)
    if begun is None:
        return None
    ignored = _ignored(manifest, replay)
    comparable = {name: value for name, value in begun.items() if name in known or name not in LATE_ENTRIES}
    check_fingerprint(
        store.url,
        _without(comparable, ignored),
        _without(known, ignored),
        is_finished=manifest is not None,
        listing_change=listing_change,
    )
    return manifest


def read_begun(store: Store, manifest: Manifest | None) -> dict[str, Any] | None:
    """The fingerprint of the run that was begun in `store`, or None."""
    try:
        return read_json(store, fingerprint_file(RUN))
    except FileNotFoundError:
        return manifest.fingerprint_entries if manifest is not None else None


def _begun_here(store: Store, manifest: Manifest | None) -> dict[str, Any] | None:
    """`read_begun`; raises DatasetError if the folder holds something else."""
    begun = read_begun(store, manifest)
    if begun is None and (manifest is not None or _holds_something(store)):
        raise DatasetError(f"{store.url} is not empty and no run of ours: name a new folder as --out")
    return begun


def _holds_something(store: Store) -> bool:
    local = store.local_path()
    if local is None:
        return bool(store.list())
    if local.exists() and not local.is_dir():
        return True
    return local.is_dir() and any(path.name != RUN for path in local.iterdir())


def _ignored(manifest: Manifest | None, replay: bool) -> frozenset[str]:
    """The entries of a fingerprint that may differ."""
    if replay:
        return LISTING_ENTRIES
    return _SCHEMA_ENTRY if manifest is not None else frozenset()


def _without(document: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}
