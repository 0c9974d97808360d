"""A replay finds the files of hidden addresses by listing the corpus again."""

import pickle

import numpy as np
import pytest
from dicom_files import write_dicom
from factories import make_dataset, make_row

from fo1_data.corpus.entry_bytes import read_encoded
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.readers import load_listing
from fo1_data.corpus.rejects import reject_from
from fo1_data.errors import InputReject
from fo1_data.runs.plan import plan_run
from schemas.images import RejectStage
from schemas.jobs import RunConfig


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("FO1_HOME", str(tmp_path / "home"))
    folder = tmp_path / "Doe^Jane"
    folder.mkdir()
    write_dicom(folder / "a.dcm", np.arange(64, dtype=np.int16).reshape(8, 8))
    return folder


def test_a_rejected_frame_is_read_again(corpus, tmp_path):
    (entry,) = load_listing(str(corpus)).entries
    reject = reject_from(entry, InputReject(RejectStage.FETCH, "unreadable", "was not read", replayable=True))
    assert "Doe" not in reject.model_dump_json()
    make_dataset(tmp_path / "out", [make_row(embed=True)], [reject])
    planned = plan_run(RunConfig(corpus=str(corpus), out=str(tmp_path / "out"), replay_rejects=True))
    (again,) = planned.shards[0].images
    assert again == entry
    assert read_encoded(again, InputLimits()).data.startswith(b"\x89PNG")


def test_the_place_of_a_hidden_image_travels_to_other_processes(corpus):
    (entry,) = load_listing(str(corpus)).entries
    assert pickle.loads(pickle.dumps(entry)).origin == (f"{corpus}/a.dcm", "frame@1", None)


def test_a_file_that_is_gone_is_a_reject_that_names_nothing(corpus):
    (entry,) = load_listing(str(corpus)).entries
    (corpus / "a.dcm").unlink()
    with pytest.raises(InputReject) as caught:
        read_encoded(entry, InputLimits())
    assert caught.value.replayable
    assert "Doe" not in reject_from(entry, caught.value).model_dump_json()
