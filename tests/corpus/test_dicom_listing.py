"""DICOM files in a corpus: found by contents, listed as frames, refused where their pixels may have text."""

import shutil
import sys
import zlib

import numpy as np
import pydicom
import pytest
from dicom_files import ROOTS, WITH_TEXT, dicom_path, write_dicom
from factories import encode, make_image

from fo1_data.corpus import hidden_addresses
from fo1_data.corpus.dicom.burned_in import why_text_is_possible
from fo1_data.corpus.dicom.files import load_pydicom
from fo1_data.corpus.dicom.settings import DicomSettings
from fo1_data.corpus.entry_bytes import read_encoded
from fo1_data.corpus.entry_list import EntryList
from fo1_data.corpus.hiding import hide_entry
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.readers import load_gold, load_listing
from fo1_data.errors import ConfigError, CorpusError, InputReject
from schemas.corpus import HIDDEN, CorpusImage

VALUES = np.arange(64, dtype=np.int16).reshape(8, 8)


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FO1_HOME", str(tmp_path / "home"))


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "Doe^Jane"
    folder.mkdir()
    return folder


def reasons(listing):
    return [reject.reason for reject in listing.rejects]


def test_files_without_a_suffix_are_found_by_their_first_bytes(corpus):
    write_dicom(corpus / "IM000001", VALUES)
    write_dicom(corpus / "1.2.840.10008.5", VALUES + 1)
    listing = load_listing(str(corpus))
    assert [entry.inner for entry in listing.entries] == ["frame@1", "frame@1"]
    assert listing.has_dicom


def test_a_corpus_with_a_dicom_file_is_hidden_whole_and_still_read(corpus):
    write_dicom(corpus / "a.dcm", VALUES)
    (corpus / "Doe.png").write_bytes(encode(make_image()))
    (corpus / "notes of Doe.gz").write_bytes(b"no image")
    listing = load_listing(str(corpus))
    assert all(entry.uri.startswith(HIDDEN) for entry in listing.entries)
    text = "".join(entry.model_dump_json() for entry in listing.entries) + repr(listing.sources)
    assert "Doe" not in text + repr(listing.rejects)
    assert str(corpus) not in text
    read = [
        read_encoded(entry, InputLimits()).data[:4]
        for entry in listing.entries
        if "gz" not in entry.origin_name
    ]
    assert read == [b"\x89PNG", b"\x89PNG"]
    again = load_listing(str(corpus))
    assert list(again.entries.documents()) == list(listing.entries.documents())


def test_another_key_gives_other_addresses(corpus, tmp_path, monkeypatch):
    write_dicom(corpus / "a.dcm", VALUES)
    one = load_listing(str(corpus)).entries[0]
    monkeypatch.setenv("FO1_HOME", str(tmp_path / "other"))
    other = load_listing(str(corpus)).entries[0]
    assert one.uri != other.uri
    assert one.meta["dicom"]["series"] != other.meta["dicom"]["series"]
    assert (tmp_path / "other" / hidden_addresses.KEY_FILE).stat().st_mode & 0o077 == 0


def test_a_key_that_cannot_be_kept_is_an_error_of_the_configuration(corpus, tmp_path, monkeypatch):
    write_dicom(corpus / "a.dcm", VALUES)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FO1_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(ConfigError, match="FO1_HOME"):
        load_listing(str(corpus))


def test_addresses_are_kept_where_that_is_asked_for(corpus):
    path = write_dicom(corpus / "a.dcm", VALUES)
    listing = load_listing(str(corpus), dicom=DicomSettings(keep_paths=True))
    assert listing.entries[0].name == f"{path}::frame@1"
    assert not listing.is_hidden


def test_a_hidden_place_stays_out_of_every_json_and_survives_the_list_of_entries(tmp_path):
    entry = hide_entry(CorpusImage(uri="/data/a\tb\n/Doe.dcm", inner="frame@2", meta={"file": "Doe.dcm"}))
    kept = EntryList([entry, CorpusImage(uri="/x/plain.png")])
    assert kept[0] == entry
    assert kept[0].origin == ("/data/a\tb\n/Doe.dcm", "frame@2", None)
    assert b"Doe" not in b"".join(kept.documents())
    assert "Doe" not in entry.model_dump_json()


def test_what_a_list_says_of_a_dicom_image_belongs_to_its_frame(corpus):
    write_dicom(corpus / "a.dcm", VALUES)
    (corpus / "annotations.jsonl").write_text(
        '{"image": "a.dcm", "regions": [{"box_xyxy": [0, 0, 4, 4], "label": "nodule"}]}\n'
    )
    listing = load_listing(str(corpus))
    assert [region.label for region in listing.entries[0].regions] == ["nodule"]
    assert load_gold(str(corpus)).entries[0].name == listing.entries[0].name
    assert not listing.rejects


def test_what_is_said_of_all_frames_together_is_a_reject(corpus):
    write_dicom(corpus / "a.dcm", np.stack([VALUES, VALUES + 1]))
    (corpus / "annotations.jsonl").write_text('{"image": "a.dcm", "regions": [{"box_xyxy": [0, 0, 4, 4]}]}\n')
    listing = load_listing(str(corpus))
    assert len(listing.entries) == 2
    assert reasons(listing) == ["labels_of_video"]


def test_series_and_instance_are_hashes(corpus):
    series = {"SeriesInstanceUID": "1.2.3.4"}
    for name in "ab":
        write_dicom(corpus / name, VALUES, **series)
    facts = [entry.meta["dicom"] for entry in load_listing(str(corpus)).entries]
    assert facts[0]["series"] == facts[1]["series"] != facts[0]["instance"]
    assert facts[0]["instance"] != facts[1]["instance"]
    assert "1.2.3.4" not in repr(facts)


@pytest.mark.parametrize("name", ["US1_UNCR.dcm", "SC_rgb.dcm", "color3d_jpeg_baseline.dcm", "vlut_04.dcm"])
def test_images_that_may_have_text_are_refused_and_the_reject_says_how_to_allow_them(name):
    listing = load_listing(str(dicom_path(name)))
    assert not listing.entries
    assert reasons(listing) == ["burned_in_text"]
    assert "--allow-burned-in-text" in listing.rejects[0].message
    assert load_listing(str(dicom_path(name)), dicom=WITH_TEXT).entries


@pytest.mark.parametrize(
    ("tags", "is_clean"),
    [
        ({}, True),
        ({"BurnedInAnnotation": "YES"}, False),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]}, False),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, True),
        ({"ConversionType": "DF"}, False),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, False),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "BurnedInAnnotation": "NO"}, True),
        ({"SOPClassUID": ""}, False),
        ({"BurnedInAnnotation": "NO", "SpecimenLabelInImage": "YES"}, False),
    ],
)
def test_what_tells_that_text_is_possible(corpus, tags, is_clean):
    path = write_dicom(corpus / "a.dcm", VALUES, **tags)
    assert (why_text_is_possible(pydicom.dcmread(path)) is None) == is_clean
    assert bool(load_listing(str(corpus)).entries) == is_clean


def test_a_file_that_was_exchanged_after_the_listing_is_looked_at_again(corpus):
    path = write_dicom(corpus / "a.dcm", VALUES)
    entry = load_listing(str(corpus)).entries[0]
    write_dicom(path, VALUES, BurnedInAnnotation="YES")
    with pytest.raises(InputReject, match="BurnedInAnnotation is YES"):
        read_encoded(entry, InputLimits())


def test_a_dicomdir_lists_its_files_and_misses_none_in_silence(tmp_path):
    source = dicom_path("DICOMDIR").parent
    shutil.copytree(source, tmp_path / "disc")
    whole = load_listing(str(tmp_path / "disc" / "DICOMDIR"))
    num_images = len(whole.entries)
    assert num_images > 20
    assert not whole.rejects
    gone = whole.entries[0].origin.uri
    shutil.move(gone, tmp_path / "elsewhere")
    less = load_listing(str(tmp_path / "disc" / "DICOMDIR"))
    assert (len(less.entries), reasons(less)) == (num_images - 1, ["not_found"])
    beside = load_listing(str(tmp_path / "disc"))
    assert {entry.origin.uri for entry in less.entries} <= {entry.origin.uri for entry in beside.entries}


def test_too_many_frames_and_files_without_pixels_are_rejects(corpus):
    write_dicom(corpus / "a.dcm", np.stack([VALUES, VALUES]), NumberOfFrames=2**31 - 1)
    assert reasons(load_listing(str(corpus))) == ["too_many_frames"]
    assert reasons(load_listing(str(dicom_path("test-SR.dcm")))) == ["no_pixels"]


def test_a_deflated_file_is_inflated_within_the_limit_only(corpus):
    header = pydicom.dcmread(dicom_path("image_dfl.dcm"))
    plain = write_dicom(corpus / "a.dcm", VALUES)
    head, zeros = plain.read_bytes(), b"\0" * (3 * 2**20)
    start = 132 + 12 + pydicom.dcmread(plain).file_meta.FileMetaInformationGroupLength
    syntax = b"\x02\x00\x10\x00UI"
    at = head.index(syntax)
    length = int.from_bytes(head[at + 6 : at + 8], "little")
    value = b"1.2.840.10008.1.2.1.99"
    meta = head[:at] + syntax + len(value).to_bytes(2, "little") + value + head[at + 8 + length : start]
    grown = (int.from_bytes(meta[140:144], "little") + len(value) - length).to_bytes(4, "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    plain.write_bytes(
        meta[:140] + grown + meta[144:] + packer.compress(head[start:] + zeros) + packer.flush()
    )
    listing = load_listing(str(corpus), max_bytes=2**20)
    assert reasons(listing) == ["too_large"]
    assert header.file_meta.TransferSyntaxUID == value.decode()
    assert load_listing(str(dicom_path("image_dfl.dcm")), dicom=WITH_TEXT).entries


def test_a_packed_frame_larger_than_its_header_says_is_not_decoded(corpus):
    dataset = pydicom.dcmread(dicom_path("SC_rgb_jpeg_dcmtk.dcm"))
    dataset.Rows = dataset.Columns = 50
    dataset.save_as(corpus / "a.dcm")
    entry = load_listing(str(corpus), dicom=WITH_TEXT).entries[0]
    with pytest.raises(InputReject, match="100") as caught:
        read_encoded(entry, InputLimits(), WITH_TEXT)
    assert caught.value.reason == "other_size"


def test_without_pydicom_one_line_names_the_extra(corpus, monkeypatch):
    write_dicom(corpus / "a.dcm", VALUES)
    load_pydicom.cache_clear()
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(CorpusError, match=r"fo1-data\[dicom\]") as caught:
        load_listing(str(corpus))
    assert "Doe" not in str(caught.value)
    load_pydicom.cache_clear()


def outcome(entry):
    """Why a frame is no picture; None if it is one."""
    try:
        data = read_encoded(entry, InputLimits(), WITH_TEXT).data
    except InputReject as error:
        return "quoted" if "'" in error.message else error.reason
    return None if data.startswith(b"\x89PNG") else "no picture"


def test_every_file_of_the_wheels_is_a_picture_or_a_reject_and_no_reject_quotes_a_tag():
    expected = {None, "unsupported", "other_size", "broken", "no_pixels"}
    for root in ROOTS:
        listing = load_listing(str(root), dicom=WITH_TEXT)
        first = [entry for entry in listing.entries if entry.inner in ("frame@1", "frame@2")]
        assert len(first) > 60
        assert {outcome(entry) for entry in first} <= expected
        assert set(reasons(listing)) <= expected


@pytest.mark.parametrize("tag", ["Rows", "Columns", "BitsStored", "SamplesPerPixel"])
@pytest.mark.parametrize("value", [b"Doe", b"Doe^Ja"])
def test_a_tag_that_cannot_be_parsed_is_a_reject_that_does_not_quote_it(corpus, tag, value):
    """Values are parsed when they are first asked for, and pydicom's errors quote them."""
    path = write_dicom(corpus / "a.dcm", VALUES)
    data = path.read_bytes()
    number = pydicom.datadict.tag_for_keyword(tag)
    place = data.index(number.to_bytes(4, "little")[2:] + number.to_bytes(4, "little")[:2] + b"US") + 6
    path.write_bytes(data[:place] + len(value).to_bytes(2, "little") + value + data[place + 4 :])
    listing = load_listing(str(path), dicom=WITH_TEXT)
    rejected = {(reject.reason, "Doe" in reject.message) for reject in listing.rejects}
    for entry in listing.entries:
        with pytest.raises(InputReject) as caught:
            read_encoded(entry, InputLimits(), WITH_TEXT)
        rejected.add((caught.value.reason, "Doe" in caught.value.message))
    assert rejected == {("broken", False)}
