"""`manifest.json`: read and written; and the differences between two fingerprints.

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
from fo1_data.dataset.rows import first_problem
from fo1_data.errors import DatasetError, FingerprintError
from fo1_data.storage.store import Store
from schemas.dataset import SCHEMA_VERSION, Manifest

_LONGEST_VALUE = 60


def dump_json(document: Any) -> bytes:
    """A document as stable, readable JSON bytes."""
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_json(store: Store, path: str) -> dict[str, Any]:
    """A JSON object of the store. Raises FileNotFoundError, and DatasetError if it is not an object."""
    try:
        document = json.loads(store.read_bytes(path))
    except ValueError as error:
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
        if not isinstance(version, int) or version > SCHEMA_VERSION:
            raise DatasetError(
                f"{store.address(MANIFEST)} has schema version {version}, newer than {SCHEMA_VERSION}: "
                "use a newer fo1-data"
            )
        return Manifest.model_validate(document)
    except (ValueError, AttributeError) as error:
        reason = first_problem(error) if isinstance(error, ValidationError) else str(error)
        raise DatasetError(f"{store.address(MANIFEST)} is no manifest: {reason}") from error


def read_manifest(store: Store) -> Manifest:
    """The manifest of a finished dataset. Raises DatasetError if there is none."""
    manifest = find_manifest(store)
    if manifest is not None:
        return manifest
    if store.exists(fingerprint_file(RUN)):
        raise DatasetError(f"{store.url} is not finished: run the same `fo1 label` again to resume it")
    raise DatasetError(f"{store.url} is no dataset: it has no {MANIFEST}")


def write_manifest(store: Store, manifest: Manifest) -> None:
    """Write the manifest, whole or not at all: from here on the version is complete."""
    store.write_bytes(MANIFEST, dump_json(manifest.model_dump(mode="json")))


def now() -> str:
    """The time as manifests write it: UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def next_version(version: str) -> str:
    """The version after `version`: versions are whole numbers from 1."""
    return str(int(version) + 1) if version.isdigit() else f"{version}.1"


def lineage(parent: Manifest) -> dict[str, str]:
    """The members of a manifest that name its parent."""
    digest = hashlib.sha256(dump_json(parent.model_dump(mode="json"))).hexdigest()
    return {"parent": f"{parent.name}@{parent.version}", "parent_sha256": digest}


def fingerprint_digest(document: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a fingerprint document."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def check_fingerprint(url: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise FingerprintError if entries differ; its message lists them as old -> new, in one line."""
    differing = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    if differing:
        changes = "; ".join(
            f"{name}: {_short(old.get(name))} -> {_short(new.get(name))}" for name in differing
        )
        raise FingerprintError(
            f"{url} was begun under other settings ({changes}): take another --out, or those"
        )


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
