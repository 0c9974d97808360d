"""The members of `manifest.json`."""

import json

import pytest
from factories import make_dataset

from fo1_data.dataset.counting import boxes_from
from fo1_data.dataset.manifest import check_fingerprint, find_manifest, lineage
from fo1_data.errors import FingerprintError
from fo1_data.labelling.identity import PreliminaryIdentity
from fo1_data.runs.fingerprint import TRACKER, ListedCorpus, run_fingerprint
from fo1_data.storage.store import open_store
from schemas.dataset import Counts, Manifest, ModelInfo
from schemas.jobs import RunConfig


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


def test_a_run_begun_before_a_setting_was_known_is_resumed_at_its_default() -> None:
    """Whatever settings are added to runs, a run that was begun without them goes on."""
    corpus = ListedCorpus("0" * 64, dicom_decoders=["pydicom 3"], has_tracks=True)
    now = run_fingerprint(RunConfig(corpus="a", out="b"), PreliminaryIdentity(), corpus)
    settings = [name for name in now if name in RunConfig.model_fields and name != TRACKER]
    assert "second_opinion_view" in settings
    for name in settings:
        check_fingerprint("b", {key: value for key, value in now.items() if key != name}, now)


def test_a_setting_that_a_run_did_not_know_counts_at_its_default() -> None:
    with pytest.raises(FingerprintError, match=r'second_opinion_view: "crop" -> "box"'):
        check_fingerprint("b", {}, {"second_opinion_view": "box"})
    with pytest.raises(FingerprintError, match=r"min_side: null -> 3"):
        check_fingerprint("b", {}, {"min_side": 3})
    with pytest.raises(FingerprintError, match=r"track_every: 2 -> 1"):
        check_fingerprint("b", {"track_every": 2}, {"track_every": 1})


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
