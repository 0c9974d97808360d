"""Structured reports hold every region and caption exactly, and belong to the file that was labelled."""

import json
import tracemalloc

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_files import write_dicom
from factories import make_dataset, make_row

from fo1_data.corpus.readers import load_listing
from fo1_data.dataset.exports.export import export_dataset
from fo1_data.errors import ConfigError, DatasetError


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FO1_HOME", str(tmp_path / "home"))


def labelled(tmp_path, num_frames=1):
    """A folder with a DICOM file, and a dataset of its frames with regions of odd numbers."""
    folder = tmp_path / "files"
    folder.mkdir(exist_ok=True)
    values = np.arange(num_frames * 4096, dtype=np.int16).reshape(num_frames, 64, 64)
    study = {
        "StudyID": "1",
        "StudyDate": "20200101",
        "StudyTime": "",
        "AccessionNumber": "",
        "ReferringPhysicianName": "",
    }
    person = {"PatientSex": "F", "PatientBirthDate": "19500101"}
    path = write_dicom(folder / "a.dcm", values if num_frames > 1 else values[0], **study, **person)
    rows = []
    for number, entry in enumerate(load_listing(str(folder)).entries):
        boxes = [(1.5, 2.25, 30.1, 40.7), (0.0, 0.0, 64.0, 50.0 + number)]
        row = make_row(seed=number, boxes=boxes, width=64, height=64)
        row.uri, row.uris, row.meta = entry.name, [entry.name], json.dumps(entry.meta)
        row.regions[0].brief_caption = "a dark nodule"
        row.regions[0].text = "R"
        row.regions[1].detailed_caption = "Grösse 12 mm\nunchanged"
        rows.append(row)
    make_dataset(tmp_path / "dataset", rows)
    return path, rows


def groups_of(path):
    report = hd.sr.srread(path)
    return report.content.get_planar_roi_measurement_groups()


@pytest.mark.parametrize("num_frames", [1, 3])
def test_a_report_is_read_back_exactly(tmp_path, num_frames):
    path, rows = labelled(tmp_path, num_frames)
    written = export_dataset(
        str(tmp_path / "dataset"), "dicom-sr", str(tmp_path / "sr"), dicom_files=str(tmp_path / "files")
    )
    assert (written["reports"], written["images"], written["regions"]) == (1, num_frames, 2 * num_frames)
    (report,) = (tmp_path / "sr").glob("*.dcm")
    source, groups = pydicom.dcmread(path), groups_of(report)
    by_id = {group.tracking_identifier: group for group in groups}
    assert len(by_id) == 2 * num_frames
    for frame, row in enumerate(rows, 1):
        for region in row.regions:
            group = by_id[region.region_id]
            corners = group.roi.value
            assert (*corners.min(axis=0), *corners.max(axis=0)) == tuple(np.float32(region.box_xyxy))
            assert (corners[0] == corners[-1]).all()
            image = group.roi.ContentSequence[0].ReferencedSOPSequence[0]
            assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
            assert image.get("ReferencedFrameNumber", 1) == frame
            texts = {
                item.name.value: item.TextValue
                for item in group[0].ContentSequence
                if item.ValueType == "TEXT"
            }
            names = ("brief_caption", "detailed_caption", "source_caption", "source_label", "text")
            assert {name: getattr(region, name) or None for name in names} == {
                name: texts.get(name) for name in names
            }
    dataset = pydicom.dcmread(report)
    assert dataset.PatientID == "MRN-4711"
    assert dataset.StudyInstanceUID == source.StudyInstanceUID


def test_equal_frames_that_share_a_row_are_all_in_the_report(tmp_path):
    _, rows = labelled(tmp_path, num_frames=3)
    rows[0].uris = [row.uri for row in rows]
    make_dataset(tmp_path / "one row", rows[:1])
    files = str(tmp_path / "files")
    export_dataset(str(tmp_path / "one row"), "dicom-sr", str(tmp_path / "sr"), dicom_files=files)
    (report,) = (tmp_path / "sr").glob("*.dcm")
    images = [group.roi.ContentSequence[0].ReferencedSOPSequence[0] for group in groups_of(report)]
    assert sorted(image.ReferencedFrameNumber for image in images) == [1, 1, 2, 2, 3, 3]


def test_a_frame_that_is_equal_in_another_file_is_in_that_files_report_or_counted(tmp_path):
    path, rows = labelled(tmp_path)
    other = pydicom.dcmread(path)
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    other.save_as(path.with_name("b.dcm"), enforce_file_format=True)
    rows[0].uris = [entry.name for entry in load_listing(str(tmp_path / "files")).entries]
    make_dataset(tmp_path / "shared row", rows)
    export = {"address": str(tmp_path / "shared row"), "form": "dicom-sr"}
    files = str(tmp_path / "files")
    written = export_dataset(**export, out=str(tmp_path / "sr"), dicom_files=files)
    assert (written["reports"], written["images"], written["left_out_elsewhere"]) == (2, 2, 0)
    referred = {
        group.roi.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for report in (tmp_path / "sr").glob("*.dcm")
        for group in groups_of(report)
    }
    assert referred == {other.SOPInstanceUID, pydicom.dcmread(path).SOPInstanceUID}
    path.with_name("b.dcm").rename(path.with_name("moved.dcm"))
    written = export_dataset(**export, out=str(tmp_path / "less"), dicom_files=files)
    assert (written["reports"], written["images"], written["left_out_elsewhere"]) == (1, 1, 1)


def test_pixels_of_rows_are_not_held(tmp_path):
    """Rows of DICOM frames hold their pictures, which may be more together than memory has room for."""
    _, (labelled_row,) = labelled(tmp_path)
    rows = [make_row(seed=number) for number in range(40)]
    for number, row in enumerate(rows):
        row.uri, row.uris, row.meta = labelled_row.uri, labelled_row.uris, labelled_row.meta
        row.image.bytes = np.random.default_rng(number).bytes(10**6)
    make_dataset(tmp_path / "many", rows)
    files = str(tmp_path / "files")
    export_dataset(str(tmp_path / "dataset"), "dicom-sr", str(tmp_path / "first"), dicom_files=files)
    tracemalloc.start()
    export_dataset(str(tmp_path / "many"), "dicom-sr", str(tmp_path / "sr"), dicom_files=files)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * 10**6


def test_a_file_that_moved_is_found_and_one_that_is_gone_is_an_error(tmp_path):
    path, _ = labelled(tmp_path)
    (tmp_path / "archive").mkdir()
    path.rename(tmp_path / "archive" / "IM1")
    export = {"address": str(tmp_path / "dataset"), "form": "dicom-sr"}
    assert (
        export_dataset(**export, out=str(tmp_path / "a"), dicom_files=str(tmp_path / "archive"))["reports"]
        == 1
    )
    write_dicom(tmp_path / "archive" / "IM1", np.zeros((4, 4), np.int16))
    with pytest.raises(DatasetError, match=r"1 labelled DICOM file is not in"):
        export_dataset(**export, out=str(tmp_path / "b"), dicom_files=str(tmp_path / "archive"))
    with pytest.raises(ConfigError, match="--dicom-files"):
        export_dataset(**export, out=str(tmp_path / "c"))
    with pytest.raises(ConfigError, match="dicom-sr"):
        export_dataset(str(tmp_path / "dataset"), "coco", str(tmp_path / "d"), dicom_files=str(tmp_path))
