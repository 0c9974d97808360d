"""The manifest of a dataset: read and written.

A manifest of a newer schema version is refused; unknown members are kept. Does not check the files that a
manifest lists: that is `validate`.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from fo1_data.dataset.layout import MANIFEST, RUN, fingerprint_file
from fo1_data.dataset.manifest_parts import ListLimits, load_whole, stored_form
from fo1_data.errors import DatasetError
from fo1_data.storage.store import Store
from schemas.dataset import IN_PARTS_VERSION, Manifest
from schemas.problems import problem_of_written


def dump_json(document: Any) -> bytes:
    """A document as stable, readable JSON bytes."""
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_json(store: Store, path: str) -> dict[str, Any]:
    """A JSON object of the store. Raises FileNotFoundError, and DatasetError if it is not an object."""
    try:
        document = json.loads(store.read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{store.address(path)} is damaged: {error}") from error
    if not isinstance(document, dict):
        raise DatasetError(f"{store.address(path)} is damaged: not an object")
    return document


def find_manifest(store: Store) -> Manifest | None:
    """The manifest of a finished dataset, or None. Raises DatasetError if it is damaged or too new."""
    try:
        data = store.read_bytes(MANIFEST)
    except FileNotFoundError:
        return None
    try:
        document = json.loads(data)
        version = document.get("schema_version")
        if not isinstance(version, int) or version > IN_PARTS_VERSION:
            named = version if isinstance(version, int) else ascii(version)[:60]
            raise DatasetError(
                f"{store.address(MANIFEST)} has schema version {named}, newer than {IN_PARTS_VERSION}: "
                "use a newer fo1-data"
            )
        return Manifest.model_validate(load_whole(store.read_bytes, document))
    except FileNotFoundError as error:
        raise DatasetError(f"{error.filename or error} is missing though the manifest lists it") from error
    except (ValueError, AttributeError, RecursionError) as error:
        reason = problem_of_written(error) if isinstance(error, ValidationError) else str(error)
        raise DatasetError(f"{store.address(MANIFEST)} is no manifest: {reason}") from error


def read_manifest(store: Store) -> Manifest:
    """The manifest of a finished dataset. Raises DatasetError if there is none."""
    manifest = find_manifest(store)
    if manifest is not None:
        return manifest
    if store.exists(fingerprint_file(RUN)):
        raise DatasetError(f"{store.url} is not finished: run the same `fo1 label` again to resume it")
    raise DatasetError(f"{store.url} is no dataset: it has no {MANIFEST}")


def write_manifest(
    store: Store, manifest: Manifest, path: str = MANIFEST, limits: ListLimits = ListLimits()
) -> None:
    """Write the manifest, whole or not at all: from here on the version is complete.

    limits: of its lists; longer ones are written in parts before it.
    """
    store.write_bytes(path, _write_parts(store, manifest, limits))


def write_first_manifest(store: Store, manifest: Manifest, limits: ListLimits = ListLimits()) -> Manifest:
    """Write the manifest of a folder that has none, and return the one that counts. limits: as above.

    A driver that stood still is not the only one to end its run: the first manifest stays.
    """
    if store.create_exclusive(MANIFEST, _write_parts(store, manifest, limits)):
        return manifest
    return read_manifest(store)


def _write_parts(store: Store, manifest: Manifest, limits: ListLimits) -> bytes:
    """Write the parts of a long manifest; returns the content of the manifest itself."""
    document, parts = stored_form(manifest, limits)
    for part in parts:
        store.write_bytes(part.file.path, part.data)
    return dump_json(document)


def now() -> str:
    """The time as manifests write it: UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def next_version(version: str) -> str:
    """The version after `version`: versions are whole numbers from 1."""
    return str(int(version) + 1) if version.isdigit() else f"{version}.1"


def manifest_digest(manifest: Manifest) -> str:
    """SHA-256 (hex) of `manifest.json`."""
    return hashlib.sha256(dump_json(stored_form(manifest)[0])).hexdigest()


def lineage(parent: Manifest) -> dict[str, str]:
    """The members of a manifest that name its parent."""
    return {"parent": f"{parent.name}@{parent.version}", "parent_sha256": manifest_digest(parent)}


def fingerprint_digest(document: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a fingerprint document."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
