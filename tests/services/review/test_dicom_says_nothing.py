"""Nothing that a run over DICOM files leaves behind names a patient: every artefact is opened and searched.

Searched for: the value of every tag of every file, the parts of the path, and the file names. A value that is
also a word of the project (`RGB`, `NONE`) proves nothing; such short ones are left out.
"""

import asyncio
import gzip
import io
import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pydicom
import pytest
from dicom_files import dicom_path, write_dicom
from review_bench import open_review

from fo1_data.dataset.exports.export import export_dataset
from fo1_data.dataset.reader import open_dataset
from fo1_data.reports.page import write_report
from fo1_data.runs.in_process import run_in_process
from schemas.jobs import RunConfig
from schemas.labels import Decision

# Values of tags that name a kind of thing and that the project's own words, code or licences have too.
COMMON = {"NORMAL", "OTHER", "PRIMARY", "ORIGINAL", "DERIVED", "SECONDARY", "ANONYMOUS", "MONOCHROME2"}
LEAST = 5


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """An ultrasound, a truncated image and a small CT in a folder with a patient's name."""
    monkeypatch.setenv("FO1_HOME", str(tmp_path / "home"))
    folder = tmp_path / "Doe^Jane Xanthippe" / "study-of-Jane"
    folder.mkdir(parents=True)
    shutil.copy(dicom_path("US1_UNCR.dcm"), folder / "US1_UNCR.dcm")
    shutil.copy(dicom_path("MR_truncated.dcm"), folder / "Jane-knee")
    values = pydicom.dcmread(dicom_path("693_UNCR.dcm")).pixel_array[200:328, 200:328].copy()
    person = {"PatientBirthDate": "19500102", "InstitutionName": "General Hospital of Nowhere"}
    write_dicom(folder / "Jane_head.dcm", values, **person)
    return folder


def secrets(folder):
    """Every text that must not be found."""
    found = set()
    for path in folder.iterdir():
        found |= {path.name, path.stem}
        for element in pydicom.dcmread(path, stop_before_pixels=True).iterall():
            values = element.value if element.VM > 1 else [element.value]
            found |= {str(value) for value in values if isinstance(value, str | pydicom.valuerep.PersonName)}
    found |= {folder.name, folder.parent.name, "Jane", "Xanthippe", "Doe^"}
    plain = {text.strip() for text in found} - COMMON
    told = {text for text in plain if set(text) - set("0.-+ ")}
    return {text for text in told if len(text) >= LEAST or text in ("Jane", "Xanthippe", "Doe^")}


def texts_of(folder: Path):
    """The contents of every file below a folder as bytes, Parquet and gzip unpacked."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        yield path, path.name.encode()
        if path.suffix == ".parquet":
            yield path, repr(pq.ParquetFile(io.BytesIO(data)).schema_arrow.metadata).encode()
            for row in pq.read_table(io.BytesIO(data)).to_pylist():
                if row.get("image"):
                    row["image"]["bytes"] = None  # pixels: their words are what the option allows
                yield path, repr(row).encode()
        else:
            yield path, gzip.decompress(data) if path.suffix == ".gz" else data


def leaks(folder, words):
    """Where which word is found."""
    pattern = re.compile(b"|".join(re.escape(word.encode()) for word in sorted(words, key=len, reverse=True)))
    return {
        (path.name, match.group().decode())
        for path, data in texts_of(folder)
        for match in pattern.finditer(data)
    }


def label(corpus, out, allowed=True):
    config = RunConfig(
        corpus=str(corpus),
        out=str(out),
        labels=["brief_caption"],
        second_questions=[],
        max_proposals=2,
        address="in-process",
        allow_burned_in_text=allowed,
    )
    run_in_process(config)


@pytest.mark.parametrize("allowed", [True, False])
def test_no_artefact_names_a_patient(corpus, tmp_path, capfd, allowed):
    words = secrets(corpus)
    assert {"US1_UNCR", "19500102", "General Hospital of Nowhere", "MRN-4711"} <= words
    assert len(words) > 40
    out = tmp_path / "made" / "dataset"
    label(corpus, out, allowed)
    dataset = open_dataset(str(out))
    rows = list(dataset.rows())
    assert len(rows) == 1 + allowed
    assert all(row.image.bytes and b"tEXt" not in row.image.bytes for row in rows)
    assert dataset.manifest.counts.rejected == 2 - allowed
    write_report(str(out), str(tmp_path / "made" / "report.html"))
    for form in ("webdataset", "yolo"):
        export_dataset(str(out), form, str(tmp_path / "made" / form))
    export_dataset(str(out), "coco", str(tmp_path / "made" / "coco"), copy_images=True)
    asyncio.run(review(tmp_path, out, rows))
    printed = capfd.readouterr()
    (tmp_path / "made" / "printed.txt").write_text(printed.out + printed.err)
    assert leaks(tmp_path / "made", words) == set()


async def review(tmp_path, out, rows):
    """Push the rows to Label Studio, and keep what it and the service's database then hold."""
    for row in rows:
        for label in row.all_labels():
            label.decision = Decision.REVIEW
    async with open_review(tmp_path / "made" / "service", (out, rows)) as (_, fake):
        assert fake.tasks
        held = {"projects": fake.projects, "tasks": fake.tasks}
        (tmp_path / "made" / "label-studio.json").write_text(json.dumps(held, default=str))


@pytest.mark.timeout(600)
def test_exports_of_a_real_label_studio_name_no_patient(corpus, pair, tmp_path):
    out = tmp_path / "dataset"
    label(corpus, out)
    review = pair.push(out)
    tasks = pair.tasks(review["project_id"])
    assert len(tasks) == 2
    for task in tasks:
        pair.annotate(task["id"], task["predictions"][0]["result"])
    project = f"/api/projects/{review['project_id']}"
    exported = tmp_path / "exported"
    exported.mkdir()
    (exported / "project.json").write_bytes(pair.ls.get(project).raise_for_status().content)
    for form in ("JSON", "JSON_MIN", "CSV"):
        answer = pair.ls.get(f"{project}/export", params={"exportType": form}).raise_for_status()
        assert answer.content
        (exported / form).write_bytes(answer.content)
    assert all(len(task["annotations"]) == 1 for task in json.loads((exported / "JSON").read_bytes()))
    assert leaks(exported, secrets(corpus)) == set()
