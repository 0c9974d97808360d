"""Where a version or a checkpoint comes from, back to the source images."""

import pytest
from factories import make_dataset, make_row
from made_corrections import correct

from fo1_data.dataset.versions.lineage import describe_inputs, trace, write_lineage
from fo1_data.dataset.versions.merge import merge_corrections
from fo1_data.dataset.versions.publish import publish
from fo1_data.errors import ConfigError


def test_a_version_is_traced_back_to_its_images(tmp_path):
    rows = [make_row(seed, folder=tmp_path / "images") for seed in range(3)]
    make_dataset(tmp_path / "v1", rows)
    change = correct(rows[0], "deleted", region_id=rows[0].regions[0].region_id)
    merge_corrections(str(tmp_path / "v1"), [change], str(tmp_path / "v2"))
    publish(str(tmp_path / "v2"), str(tmp_path / "published"))
    found = trace(str(tmp_path / "published"), with_images=True)
    versions = found["inputs"][0]["versions"]
    assert [one["version"] for one in versions] == ["made-up@2", "made-up@2", "made-up@1"]
    assert {image["uri"] for image in found["images"]} == {row.uri for row in rows}
    (tmp_path / "v1" / "manifest.json").unlink()
    assert trace(str(tmp_path / "v2"))["inputs"][0]["versions"][-1]["missing"] == "is gone"


def test_a_training_run_that_goes_on_adds_to_what_it_consumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        make_dataset(tmp_path / f"d{number}", [make_row(number)])
    out = tmp_path / "ckpt"
    out.mkdir()
    first, more = (describe_inputs([name], "fo1-tiny", "aa") for name in ("d1", "d2"))
    write_lineage(out, first)
    for _ in range(2):
        write_lineage(out, more, resumed=True)
    monkeypatch.chdir("/")
    found = trace(str(out))
    assert [one["address"] for one in found["inputs"]] == [str(tmp_path / "d1"), str(tmp_path / "d2")]
    assert found["num_images"] == 2
    with pytest.raises(ConfigError, match="was begun from fo1-tiny"):
        write_lineage(out, {**more, "model": "other", "model_sha256": "bb"}, resumed=True)
    write_lineage(out, {**more, "model": "other"})
    assert [len(trace(str(out))["inputs"]), trace(str(out))["model"]] == [1, "other"]


def test_an_image_that_was_read_from_a_dataset_and_from_its_corpus_is_one(tmp_path):
    rows = [make_row(seed, folder=tmp_path / "images") for seed in range(3)]
    make_dataset(tmp_path / "d", rows[:2])
    out = tmp_path / "ckpt"
    out.mkdir()
    write_lineage(out, describe_inputs([str(tmp_path / "d"), str(tmp_path / "images")], "fo1-tiny", "aa"))
    found = trace(str(out), with_images=True)
    assert found["num_images"] == 3
    assert {image["uri"] for image in found["images"]} == {row.uri for row in rows}
