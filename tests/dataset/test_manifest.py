"""The members of `manifest.json`."""

import json

import pytest
from factories import make_dataset

from fo1_data.dataset.counting import boxes_from
from fo1_data.dataset.manifest import find_manifest, lineage
from fo1_data.storage.store import open_store
from schemas.dataset import Counts, Manifest, ModelInfo


@pytest.mark.parametrize("member", [None, "a_member_of_a_newer_version"])
def test_a_manifest_is_written_as_it_was_read(tmp_path, member):
    written = make_dataset(tmp_path / "d")
    path = tmp_path / "d" / "manifest.json"
    document = json.loads(path.read_text())
    assert "step" not in document
    if member is not None:
        document[member] = {"kept": True}
        path.write_text(json.dumps(document))
    manifest = find_manifest(open_store(str(tmp_path / "d")))
    assert manifest is not None
    assert manifest.model_dump(mode="json") == document
    assert (lineage(manifest) == lineage(written)) is (member is None)


def test_every_member_has_a_description():
    assert [name for name, field in Manifest.model_fields.items() if not field.description] == []


def test_the_origin_of_boxes_is_told_by_source() -> None:
    def origin(**counts: int) -> str | None:
        return boxes_from(manifest_of(counts))

    assert origin(regions=4, corpus_boxes=4) == "the corpus"
    assert origin(regions=4, model_boxes=4) == "fo1-tiny"
    assert origin(regions=9, corpus_boxes=4, model_boxes=4, human_boxes=1) == (
        "the corpus (4), fo1-tiny (4), people (1)"
    )
    # An older version did not count them.
    assert origin(regions=4) == "auto (fo1-tiny)"


def test_a_model_without_a_domain_is_written_as_before() -> None:
    assert "domain" not in ModelInfo(name="m", sha256="ab").model_dump()
    assert ModelInfo(name="m", sha256="ab", domain="shapes").model_dump()["domain"] == "shapes"


def manifest_of(counts: dict[str, int]) -> Manifest:
    return Manifest(
        name="d",
        version="1",
        created_at="2026-01-01T00:00:00Z",
        config={},
        fingerprint="ab",
        proposer="auto (fo1-tiny)",
        files=[],
        counts=Counts(**counts),
        code_version="0",
    )
