"""The members of `manifest.json`."""

import json

import pytest
from factories import make_dataset

from fo1_data.dataset.manifest import find_manifest, lineage
from fo1_data.storage.store import open_store
from schemas.dataset import Manifest


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
