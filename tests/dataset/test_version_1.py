"""Datasets of schema version 1 are read, and what is made from them is of version 2."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from factories import make_dataset, make_row
from made_corrections import correct

from fo1_data.confidence.route_dataset import route_dataset
from fo1_data.dataset.exports.export import FORMATS, export_dataset
from fo1_data.dataset.human_labels import is_locked, is_stale
from fo1_data.dataset.manifest import dump_json, find_manifest, lineage
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.versions.compare import compare_datasets
from fo1_data.dataset.versions.merge import merge_corrections
from fo1_data.dataset.versions.publish import publish
from fo1_data.dataset.versions.remove import remove_image
from fo1_data.dataset.writer import open_run
from fo1_data.errors import FingerprintError
from fo1_data.storage.store import open_store
from fo1_data.training.samples.source import open_source
from schemas.calibration import RoutingSettings
from schemas.labels import LabelKind, Source

STORED = str(Path(__file__).parent / "version_1")


@pytest.fixture
def rows():
    return list(open_dataset(STORED).rows())


def is_of_version_2(folder):
    files = [folder / file.path for file in open_dataset(str(folder)).data_files()]
    written = {pq.read_schema(file).metadata[b"fo1_schema_version"] for file in files}
    return written == {b"2"} and open_dataset(str(folder)).manifest.schema_version == 2


def test_what_version_1_kept_in_meta_and_reasons_is_in_columns(rows):
    written, confirmed, untouched = (row.caption_label for row in rows)
    assert (written.source, written.text, written.annotator) == (Source.HUMAN, rows[0].caption, "ada")
    assert (confirmed.source, confirmed.text, confirmed.annotator) == (Source.MODEL, rows[1].caption, "ada")
    assert written.annotated_at == confirmed.annotated_at == "2026-11-24T10:00:00.000000Z"
    assert untouched is None
    assert [row.source_caption for row in rows] == ["two squares on grey", "a green square", None]
    assert [json.loads(row.meta) for row in rows] == [{"made": "by hand"}] * 3
    labels = [label for row in rows for label in row.all_labels()]
    assert [label for label in labels if is_stale(label)] == [rows[0].regions[0].labels[0]]
    assert all((label.annotated_at is not None) == is_locked(label) for label in labels)
    assert rows[1].regions[0].labels[-1].source is Source.HUMAN
    assert validate_dataset(STORED) == []


def test_a_manifest_of_version_1_keeps_its_hash():
    manifest = find_manifest(open_store(STORED))
    assert dump_json(manifest.model_dump(mode="json")) == (Path(STORED) / "manifest.json").read_bytes()


def test_a_merge_into_version_1_makes_version_2_with_the_same_rows(tmp_path, rows):
    change = correct(rows[2], "deleted", region_id=rows[2].regions[0].region_id)
    merged = merge_corrections(STORED, [change], str(tmp_path / "next"))
    assert is_of_version_2(tmp_path / "next")
    assert validate_dataset(str(tmp_path / "next")) == []
    assert merged.manifest.parent_sha256 == lineage(open_dataset(STORED).manifest)["parent_sha256"]
    assert list(compare_datasets(STORED, str(tmp_path / "next")).changed) == [rows[2].image_id]
    everything = open_dataset(str(tmp_path / "next")).history().corrections.values()
    assert len(everything) == 7
    again = merge_corrections(str(tmp_path / "next"), everything, str(tmp_path / "again"))
    assert again.merged["new"] == 0
    assert compare_datasets(str(tmp_path / "next"), str(tmp_path / "again")).is_empty


def test_files_of_version_1_that_no_row_of_changes_are_written_anew(tmp_path):
    report = merge_corrections(STORED, [], str(tmp_path / "merged"))
    assert (report.merged["files_rewritten"], report.merged["files_shared"]) == (1, 0)
    route_dataset(STORED, str(tmp_path / "routed"), RoutingSettings(audit=0.5))
    for name in ("merged", "routed"):
        assert is_of_version_2(tmp_path / name)
        assert validate_dataset(str(tmp_path / name)) == []
    assert compare_datasets(STORED, str(tmp_path / "merged")).is_empty


def test_an_image_is_taken_out_of_version_1(tmp_path, rows):
    remove_image(STORED, rows[0].image_id, str(tmp_path / "less"))
    assert is_of_version_2(tmp_path / "less")
    assert list(open_dataset(str(tmp_path / "less")).rows()) == rows[1:]


def test_version_1_is_published_with_what_people_said(tmp_path, rows):
    # Its labels were accepted without a calibration, so they count as unreviewed.
    publish(STORED, str(tmp_path / "published"), only_accepted=True, include_unreviewed=True)
    published = list(open_dataset(str(tmp_path / "published")).rows())
    assert is_of_version_2(tmp_path / "published")
    assert [row.caption_label for row in published] == [row.caption_label for row in rows]
    assert [row.caption for row in published] == [row.caption for row in rows]
    assert published[0].regions[0].brief_caption is None


# The others need coordinates, DICOM files or videos, which version 1 knew nothing of.
@pytest.mark.parametrize(
    "form", sorted(set(FORMATS) - {"dicom-sr", "geojson", "geoparquet", "mot", "youtube-vis"})
)
def test_version_1_is_exported_as_version_2_is(tmp_path, form):
    merge_corrections(STORED, [], str(tmp_path / "v2"))
    # Image paths below the export's folder, so that two exports can be equal.
    image_root = "." if form in ("messages", "preferences") else None
    for address, name in ((STORED, "from_1"), (str(tmp_path / "v2"), "from_2")):
        export_dataset(address, form, str(tmp_path / name), image_root=image_root)
    files = [sorted((tmp_path / name).rglob("*.*")) for name in ("from_1", "from_2")]
    assert [path.name for path in files[0]] == [path.name for path in files[1]]
    for one, other in zip(*files, strict=True):
        if one.name != "train.json":  # has the version and the time of it
            assert one.read_bytes() == other.read_bytes()


def test_both_versions_are_trained_on_together(tmp_path):
    make_dataset(tmp_path / "v2", [make_row(seed, embed=True) for seed in range(2)])
    source = open_source([STORED, str(tmp_path / "v2")])
    examples = [source.at(place) for place in range(len(source))]
    assert len(examples) == 5
    captions = [example.trust.get((LabelKind.GROUNDED_CAPTION, None, None)) for example in examples]
    assert sum(trust is not None and trust.human for trust in captions) == 2


def test_a_complete_dataset_of_version_1_is_complete(tmp_path):
    manifest = open_dataset(STORED).manifest
    now = {**manifest.fingerprint_entries, "schema_version": 2}
    assert open_run(STORED, now, {}).manifest == manifest
    with pytest.raises(FingerprintError, match="schema_version: 1 -> 2"):
        open_run(STORED, now, {}, replay=True)
