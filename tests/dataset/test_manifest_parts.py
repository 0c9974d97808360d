"""A long manifest lies in parts; readers of datasets see no difference, older ones refuse it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from factories import make_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.corpus.readers import load_listing
from fo1_data.dataset.manifest import dump_json, find_manifest, write_first_manifest, write_manifest
from fo1_data.dataset.manifest_parts import ListLimits, load_whole, stored_form
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.versions.remove import remove_image
from fo1_data.errors import CorpusError, DatasetError
from fo1_data.storage.store import open_store
from schemas.dataset import Counts, Duplicate, Manifest, ManifestFile

IN_PARTS = ListLimits(files=1, duplicates=1)


def in_parts(folder: Path) -> Path:
    """The dataset in `folder` with a manifest in parts."""
    store = open_store(str(folder))
    manifest = find_manifest(store)
    assert manifest is not None
    write_manifest(store, manifest, limits=IN_PARTS)
    return folder


def manifest_of(num_files: int, num_duplicates: int) -> Manifest:
    return Manifest(
        name="d",
        version="1",
        created_at="2026-01-01T00:00:00Z",
        config={},
        fingerprint="ab",
        files=[
            ManifestFile(path=f"data/train-{n:05d}.parquet", num_rows=n, num_bytes=n, sha256=f"{n:064x}")
            for n in range(num_files)
        ],
        duplicates=[
            Duplicate(image_id=f"{n:064x}", kept="ä.png", dropped=["line\nbreak\r\u2028.png"])
            for n in range(num_duplicates)
        ],
        counts=Counts(),
        code_version="0",
    )


@settings(deadline=None)
@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5), st.integers(1, 3))
def test_what_is_written_is_read(num_files: int, num_duplicates: int, most: int, a_part: int) -> None:
    manifest = manifest_of(num_files, num_duplicates)
    document, parts = stored_form(manifest, ListLimits(most, most), a_part)
    is_short = max(num_files, num_duplicates) <= most
    assert bool(parts) is not is_short
    assert document["schema_version"] == (2 if is_short else 3)
    if is_short:
        assert document == manifest.model_dump(mode="json")
    kept = {part.file.path: part.data for part in parts}
    read = Manifest.model_validate(load_whole(kept.__getitem__, document))
    assert read == manifest


def test_readers_see_no_difference(tmp_path: Path) -> None:
    make_dataset(tmp_path / "d")
    before = open_dataset(str(tmp_path / "d"))
    rows, entries = list(before.rows()), list(load_listing(str(tmp_path / "d")).entries)
    document = json.loads((in_parts(tmp_path / "d") / "manifest.json").read_text())
    assert [file["path"].split("-")[0] for file in document["files"]] == ["manifest/files"]
    after = open_dataset(str(tmp_path / "d"))
    assert after.manifest == before.manifest
    assert list(after.rows()) == rows
    assert list(load_listing(str(tmp_path / "d")).entries) == entries
    assert validate_dataset(str(tmp_path / "d")) == []
    remove_image(str(tmp_path / "d"), rows[0].image_id, str(tmp_path / "e"))
    assert list(open_dataset(str(tmp_path / "e")).rows()) == rows[1:]


def test_the_first_of_two_manifests_stays(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "d"))
    first, late = manifest_of(3, 2), manifest_of(2, 3)
    assert write_first_manifest(store, first, IN_PARTS) == first
    assert write_first_manifest(store, late, IN_PARTS) == first
    assert find_manifest(store) == first


@pytest.mark.parametrize(
    ("damage", "told"), [(Path.unlink, "missing"), (lambda p: p.write_bytes(b""), "SHA")]
)
def test_a_lost_or_damaged_part_is_told(tmp_path: Path, damage: Callable[[Path], object], told: str) -> None:
    make_dataset(tmp_path / "d")
    (part,) = (in_parts(tmp_path / "d") / "manifest").iterdir()
    damage(part)
    with pytest.raises(DatasetError, match=f"{part.name}.*{told}"):
        open_dataset(str(tmp_path / "d"))


@pytest.mark.parametrize("files", [None, 3, [3], [{}], [{"path": 3}], {"a": 1}])
def test_a_manifest_without_its_list_is_one_line(tmp_path: Path, files: object) -> None:
    make_dataset(tmp_path / "d")
    path = in_parts(tmp_path / "d") / "manifest.json"
    path.write_bytes(dump_json(json.loads(path.read_text()) | {"files": files}))
    with pytest.raises(DatasetError, match=r"manifest\.json is no manifest: .*(files|valid|required)"):
        open_dataset(str(tmp_path / "d"))
    if files != [{"path": 3}]:
        with pytest.raises(CorpusError, match=r"manifest\.json: its list of files cannot be read"):
            load_listing(str(tmp_path / "d"))


@pytest.mark.parametrize("line", [b"3", b"{", b"{}"])
def test_a_part_that_is_no_list_is_one_line_to_who_lists_it(tmp_path: Path, line: bytes) -> None:
    make_dataset(tmp_path / "d")
    (part,) = (in_parts(tmp_path / "d") / "manifest").iterdir()
    part.write_bytes(line)
    with pytest.raises(CorpusError, match=r"manifest\.json: its list of files cannot be read"):
        load_listing(str(tmp_path / "d"))


def test_a_newer_manifest_is_refused(tmp_path: Path) -> None:
    """As an older reader, which knows schema version 2, refuses one in parts."""
    make_dataset(tmp_path / "d")
    path = in_parts(tmp_path / "d") / "manifest.json"
    path.write_bytes(dump_json(json.loads(path.read_text()) | {"schema_version": 4}))
    with pytest.raises(DatasetError, match="schema version 4, newer than 3: use a newer fo1-data"):
        open_dataset(str(tmp_path / "d"))
