"""The run that was begun in a folder, by its fingerprint: begun, gone on with, or refused, naming why."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic_core import from_json

from fo1_data.dataset.checked_json import read_checked, with_checksum
from fo1_data.dataset.layout import RUN, fingerprint_file
from fo1_data.dataset.manifest import dump_json, find_manifest
from fo1_data.errors import DatasetError, FingerprintError
from fo1_data.storage.store import Store
from schemas.dataset import Manifest
from schemas.jobs import RunConfig

# Entries of a fingerprint for the listing of the corpus. A replay lists rejects instead of the corpus.
LISTING_ENTRIES = frozenset({"listing", "listing_sha256"})
# Entries that may be known only once the model is loaded.
LATE_ENTRIES = frozenset({"model_sha256", "proposer", "proposer_sha256", "prompts_version", "dtype"})
_DEFAULTS = RunConfig.model_construct(corpus="", out="").model_dump(mode="json", exclude={"corpus", "out"})
_LONGEST_VALUE = 60
_DIGEST_DIGITS = 12
# A dataset that is complete is not written again, whatever its schema version.
_SCHEMA_ENTRY = frozenset({"schema_version"})

Parsed = TypeVar("Parsed")


def begin_or_resume(
    store: Store, fingerprint: Mapping[str, Any], manifest: Manifest | None, *, replay: bool = False
) -> dict[str, Any]:
    """The fingerprint of the run in `store`; it is begun under `fingerprint` if there is none.

    Raises as `check_begun`.
    """
    begun = _begun_here(store, manifest)
    if begun is None:
        store.create_exclusive(fingerprint_file(RUN), with_checksum(dump_json(dict(fingerprint))))
        begun = read_run_file(store, fingerprint_file(RUN), _parse_fingerprint)
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
        return read_run_file(store, fingerprint_file(RUN), _parse_fingerprint)
    except FileNotFoundError:
        return manifest.fingerprint_entries if manifest is not None else None


def read_run_file(store: Store, path: str, parse: Callable[[bytes], Parsed]) -> Parsed:
    """Parse what a run wrote as it began. Raises FileNotFoundError, and DatasetError if it is damaged."""
    return read_checked(store, path, parse, "run again, and take another --out if it stays so", DatasetError)


def _parse_fingerprint(data: bytes) -> dict[str, Any]:
    return dict(from_json(data).items())


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


def check_fingerprint(
    url: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    is_finished: bool = False,
    listing_change: Callable[[], str] = lambda: "changed",
) -> None:
    """Raise FingerprintError if entries differ; its message lists them as old -> new, in one line.

    A setting that `old` lacks, because its version did not know it, had its default. listing_change: what the
    listing of the corpus gained and lost, for the message.
    """
    old = {**{name: value for name, value in _DEFAULTS.items() if name in new}, **old}
    differing = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    settings = [name for name in differing if name not in LISTING_ENTRIES]
    parts = [_change(name, old.get(name), new.get(name)) for name in settings]
    if len(settings) < len(differing):
        parts.append(f"the listing of the corpus: {listing_change()}")
    if settings:
        raise FingerprintError(
            f"{url} was begun under other settings ({'; '.join(parts)}): take another --out, or those"
        )
    if parts:
        way_on = (
            f"name a new --out with --parent {url} to label only what is new"
            if is_finished
            else "name a new --out, or list the same images to finish this run"
        )
        raise FingerprintError(f"{url} was begun with another corpus ({parts[0]}): {way_on}")


def _change(name: str, old: Any, new: Any) -> str:
    """A setting with both values; of long ones, the part in which they differ."""
    before, after = (json.dumps(value, sort_keys=True, ensure_ascii=False) for value in (old, new))
    if name.endswith("sha256"):
        before, after = (f'{text[:_DIGEST_DIGITS]}…"' if len(text) > 64 else text for text in (before, after))
    elif max(len(before), len(after)) > _LONGEST_VALUE:
        pairs = enumerate(zip(before, after, strict=False))
        first = next((place for place, (a, b) in pairs if a != b), min(len(before), len(after)))
        start = max(0, first - _LONGEST_VALUE // 3)
        before, after = (_part(text, start) for text in (before, after))
    return f"{name}: {before} -> {after}"


def _part(text: str, start: int) -> str:
    stop = start + _LONGEST_VALUE
    return f"{'…' if start else ''}{text[start:stop]}{'…' if len(text) > stop else ''}"
