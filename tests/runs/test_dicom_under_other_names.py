"""DICOM files under the names of other images, and in archives: a row or a reject, and no patient's name."""

import tarfile

import numpy as np
import pytest
from dicom_files import write_dicom
from factories import encode, make_image

from fo1_data.corpus.entry_bytes import read_encoded
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.readers import load_listing
from fo1_data.corpus.rejects import NAMED_OTHERWISE, reject_from
from fo1_data.dataset.reader import open_dataset
from fo1_data.errors import InputReject
from fo1_data.runs.in_process import run_in_process
from schemas.corpus import HIDDEN
from schemas.jobs import RunConfig

NAME = "Doe_Jane_19500102"


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FO1_HOME", str(tmp_path / "home"))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    write_dicom(folder / "file.tmp", np.arange(64, dtype=np.int16).reshape(8, 8))
    return folder


def rejects_of(corpus):
    """What reading the entries of a corpus gives up."""
    rejects = []
    for entry in load_listing(str(corpus)).entries:
        try:
            read_encoded(entry, InputLimits())
        except InputReject as error:
            rejects.append(reject_from(entry, error))
    return rejects


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".dcm", ""])
def test_a_member_of_a_tar_is_a_reject_that_does_not_name_it(folder, tmp_path, suffix):
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        archive.add(folder / "file.tmp", f"{NAME}{suffix}")
    (reject,) = rejects_of(tmp_path / "all.tar")
    assert (reject.reason, reject.replayable) == (NAMED_OTHERWISE, False)
    assert reject.uri.startswith(HIDDEN)
    assert NAME not in reject.model_dump_json()


def test_one_file_that_is_given_is_labelled_whatever_its_name(folder):
    path = (folder / "file.tmp").rename(folder / f"{NAME}.jpg")
    listing = load_listing(str(path))
    (entry,) = listing.entries
    assert listing.is_hidden
    assert NAME not in entry.model_dump_json()
    assert read_encoded(entry, InputLimits()).data.startswith(b"\x89PNG")


def test_a_run_over_a_folder_rejects_it_and_writes_its_name_nowhere(folder, tmp_path, capfd):
    (folder / "file.tmp").rename(folder / f"{NAME}.jpg")
    (folder / "other.png").write_bytes(encode(make_image(1)))
    out = tmp_path / "out"
    settings = {"labels": ["brief_caption"], "second_questions": [], "max_proposals": 1}
    run_in_process(RunConfig(corpus=str(folder), out=str(out), address="in-process", **settings))
    dataset = open_dataset(str(out))
    assert [row.uri for row in dataset.rows()] == [str(folder / "other.png")]
    assert [reject.reason for reject in dataset.rejects()] == [NAMED_OTHERWISE]
    printed = capfd.readouterr()
    files = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
    assert not any(NAME.encode() in data for data in [*files, (printed.out + printed.err).encode()])
