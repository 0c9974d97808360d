"""DICOM files become the pictures that arithmetic by hand on their stored bytes gives."""

import io
import math

import numpy as np
import pydicom
import pytest
from dicom_files import WITH_TEXT, dicom_path, shown, write_dicom
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.sequence import Sequence

from fo1_data.corpus.dicom.settings import DicomSettings
from fo1_data.corpus.readers import load_listing
from fo1_data.errors import InputReject
from schemas.dicom_windows import parse_window


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FO1_HOME", str(tmp_path / "home"))


def stored(name, form="<i2"):
    """Values as they lie in an uncompressed file."""
    dataset = pydicom.dcmread(dicom_path(name))
    return np.frombuffer(dataset.PixelData, form).reshape(dataset.Rows, dataset.Columns).astype(
        float
    ), dataset


def by_hand(values, center, width):
    """PS3.3, C.11.2.1.2.1, to 8 bits, one value at a time."""
    result = {}
    for value in np.unique(values).tolist():
        if value <= center - 0.5 - (width - 1) / 2:
            result[value] = 0
        elif value > center - 0.5 + (width - 1) / 2:
            result[value] = 255
        else:
            result[value] = round(((value - (center - 0.5)) / (width - 1) + 0.5) * 255)
    return np.vectorize(result.get)(values)


def rank(values, share):
    """The value that a share of all values does not exceed."""
    ordered = np.sort(values, axis=None)
    return ordered[max(1, math.ceil(share * len(ordered))) - 1]


def test_a_ct_is_shown_by_its_own_window_over_the_range_of_the_window_not_of_the_image():
    values, dataset = stored("693_UNCR.dcm")
    hounsfield = values * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    picture, meta = shown(dicom_path("693_UNCR.dcm"))
    assert np.abs(picture - by_hand(hounsfield, 40, 100)).max() <= 1
    assert (meta["window"], meta["window_from"]) == ([40, 100], "file")
    assert 0.02 < ((picture > 0) & (picture < 255)).mean() < 0.5


@pytest.mark.parametrize(
    ("name", "center", "width"), [("RG1_UNCR.dcm", 15000, 30000), ("RG3_UNCR.dcm", 550, 1024)]
)
def test_monochrome1_is_turned(name, center, width):
    values, _ = stored(name, "<u2")
    picture, meta = shown(dicom_path(name))
    assert np.abs(picture - (255 - by_hand(values, center, width))).max() <= 1
    assert meta["inverted"]


@pytest.mark.parametrize(("text", "center", "width"), [("lung", -600, 1500), ("-100/300", -100, 300)])
def test_the_window_of_the_run_comes_before_that_of_the_file(text, center, width):
    values, dataset = stored("693_UNCR.dcm")
    hounsfield = values * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    picture, meta = shown(dicom_path("693_UNCR.dcm"), DicomSettings(parse_window(text)))
    assert np.abs(picture - by_hand(hounsfield, center, width)).max() <= 1
    assert meta["window"] == [center, width]


def test_a_window_in_hounsfield_units_is_refused_for_what_is_no_ct():
    with pytest.raises(InputReject, match="Hounsfield"):
        shown(dicom_path("MR_small.dcm"), DicomSettings(parse_window("bone")))


def test_without_a_window_the_percentiles_are_shown():
    values, dataset = stored("CT_small.dcm")
    hounsfield = values * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    low, high = rank(hounsfield, 0.01), rank(hounsfield, 0.99)
    picture, meta = shown(dicom_path("CT_small.dcm"))
    assert np.abs(picture - np.rint(np.clip((hounsfield - low) / (high - low), 0, 1) * 255)).max() <= 1
    assert (meta["window"], meta["window_from"]) == ([(low + high) / 2, high - low], "percentiles")


def test_padding_is_black_and_no_contrast(tmp_path):
    values = np.arange(100, 200, dtype=np.int16).reshape(10, 10)
    values[:5] = -2000
    path = write_dicom(tmp_path / "a.dcm", values, PixelPaddingValue=-2000)
    picture, meta = shown(path)
    assert (picture[:5] == 0).all()
    assert meta["window"] == [(150 + 199) / 2, 199 - 150]
    turned, _ = shown(
        write_dicom(
            tmp_path / "b.dcm", values, PixelPaddingValue=-2000, PhotometricInterpretation="MONOCHROME1"
        )
    )
    assert (turned[:5] == 0).all()
    assert (turned[5:] == 255 - picture[5:]).all()
    limits = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": 160}
    assert shown(write_dicom(tmp_path / "c.dcm", values, **limits))[1]["window"] == [
        (161 + 199) / 2,
        199 - 161,
    ]


def test_nothing_but_padding_is_a_reject(tmp_path):
    path = write_dicom(tmp_path / "a.dcm", np.full((4, 4), 7, np.int16), PixelPaddingValue=7)
    with pytest.raises(InputReject, match="padding"):
        shown(path)


def test_a_voi_lut_is_looked_up_and_scaled_by_its_own_bits():
    values, dataset = stored("vlut_04.dcm", "u1")
    lut = dataset.VOILUTSequence[0]
    length, first, bits = lut.LUTDescriptor
    entries = np.frombuffer(lut.LUTData, "<u2") if isinstance(lut.LUTData, bytes) else np.array(lut.LUTData)
    expected = [
        round(entries[min(max(int(v) - first, 0), length - 1)] / (2**bits - 1) * 255) for v in values.flat
    ]
    picture, meta = shown(dicom_path("vlut_04.dcm"))
    assert np.abs(picture.reshape(-1) - expected).max() <= 1
    assert meta["window_from"] == "lut"


def test_a_modality_lut_comes_before_the_window():
    words, dataset = stored("mlut_18.dcm", "<u2")
    low_bits = words.astype(int) & 0xFFF  # 12 are stored, and they are signed
    values = np.where(low_bits < 2048, low_bits, low_bits - 4096)
    lut = dataset.ModalityLUTSequence[0]
    length, first, _ = lut.LUTDescriptor
    entries = np.frombuffer(lut.LUTData, "<u2") if isinstance(lut.LUTData, bytes) else np.array(lut.LUTData)
    units = entries[np.clip(values - first, 0, length - 1).astype(int)].astype(float)
    low, high = rank(units, 0.01), rank(units, 0.99)
    picture, _ = shown(dicom_path("mlut_18.dcm"))
    assert np.abs(picture - np.rint(np.clip((units - low) / (high - low), 0, 1) * 255)).max() <= 1


def test_a_lut_of_8_bits_for_values_of_12_bits(tmp_path):
    """One for which pydicom's own function looks up the value modulo 256."""
    lut = Dataset()
    lut.LUTDescriptor = [4096, 0, 8]
    lut.add_new("LUTData", "OW", np.repeat(np.arange(256, dtype=np.uint8), 16).astype("<u2").tobytes())
    values = np.arange(0, 4096, 64, dtype=np.uint16).reshape(8, 8)
    picture, _ = shown(write_dicom(tmp_path / "a.dcm", values, VOILUTSequence=Sequence([lut])))
    assert (picture == values // 16).all()


def test_a_sigmoid_window(tmp_path):
    values = np.arange(0, 64, dtype=np.int16).reshape(8, 8)
    path = write_dicom(tmp_path / "a.dcm", values, WindowCenter=30, WindowWidth=20, VOILUTFunction="SIGMOID")
    expected = [round(255 / (1 + math.exp(-4 * (value - 30) / 20))) for value in range(64)]
    assert shown(path)[0].reshape(-1).tolist() == expected


def test_bits_above_those_that_are_stored_are_dropped(tmp_path):
    values = np.arange(0, 4096, 64, dtype=np.uint16).reshape(8, 8)
    tags = {"BitsStored": 12, "HighBit": 11, "WindowCenter": 2048, "WindowWidth": 4096}
    plain, _ = shown(write_dicom(tmp_path / "a.dcm", values, **tags))
    overlaid, _ = shown(write_dicom(tmp_path / "b.dcm", values | 0x8000, **tags))
    assert (plain == overlaid).all()


def test_frames_have_windows_and_rescales_of_their_own(tmp_path):
    values = np.stack([np.arange(0, 64, dtype=np.int16).reshape(8, 8)] * 2)
    groups = []
    for center, slope in ((30, 1), (60, 2)):
        window, rescale, group = Dataset(), Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth = center, 41
        rescale.RescaleSlope, rescale.RescaleIntercept, rescale.RescaleType = slope, 0, "HU"
        group.FrameVOILUTSequence = Sequence([window])
        group.PixelValueTransformationSequence = Sequence([rescale])
        groups.append(group)
    path = write_dicom(tmp_path / "a.dcm", values, PerFrameFunctionalGroupsSequence=Sequence(groups))
    for frame, (center, slope) in enumerate(((30, 1), (60, 2)), 1):
        picture, meta = shown(path, frame=frame)
        assert np.abs(picture - by_hand(values[0] * slope, center, 41)).max() <= 1
        assert (meta["frame"], meta["frames"]) == (frame, 2)


def test_colours_of_uncompressed_files_are_their_bytes():
    dataset = pydicom.dcmread(dicom_path("US1_UNCR.dcm"))
    values = np.frombuffer(dataset.PixelData, np.uint8)
    shape = (
        (3, dataset.Rows, dataset.Columns)
        if dataset.PlanarConfiguration
        else (dataset.Rows, dataset.Columns, 3)
    )
    values = values[: math.prod(shape)].reshape(shape)
    expected = np.moveaxis(values, 0, 2) if dataset.PlanarConfiguration else values
    assert (shown(dicom_path("US1_UNCR.dcm"))[0] == expected).all()


@pytest.mark.parametrize("name", ["color3d_jpeg_baseline.dcm", "examples_ybr_color.dcm"])
def test_jpeg_colour_of_every_frame_is_as_a_viewer_of_jpeg_shows_it(name):
    dataset = pydicom.dcmread(dicom_path(name))
    frames = list(generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames)))
    entries = load_listing(str(dicom_path(name)), dicom=WITH_TEXT).entries
    assert [entry.inner for entry in entries] == [f"frame@{n}" for n in range(1, len(frames) + 1)]
    for number in (1, len(frames)):
        expected = np.asarray(Image.open(io.BytesIO(frames[number - 1])).convert("RGB")).astype(int)
        picture, meta = shown(dicom_path(name), frame=number)
        assert np.abs(picture - expected).max() <= 3
        assert meta["decoder"].startswith("pillow ")


def expand(data, order):
    """The entries of a segmented palette (PS3.3, C.7.9.2) of discrete and linear segments."""
    words, entries, at = np.frombuffer(data, f"{order}u2").tolist(), [], 0
    while at < len(words):
        kind, length = words[at : at + 2]
        if kind == 0:
            entries += words[at + 2 : at + 2 + length]
            at += 2 + length
        else:
            assert kind == 1
            start, end = entries[-1], words[at + 2]
            entries += [start + (end - start) * step / length for step in range(1, length + 1)]
            at += 3
    return entries


@pytest.mark.parametrize(
    ("name", "order"), [("gdcm-US-ALOKA-16.dcm", "<"), ("gdcm-US-ALOKA-16_big.dcm", ">")]
)
def test_a_segmented_palette(name, order):
    values, dataset = stored(name, f"{order}u2")
    picture, _ = shown(dicom_path(name))
    for channel, colour in enumerate(("Red", "Green", "Blue")):
        entries = expand(dataset[f"Segmented{colour}PaletteColorLookupTableData"].value, order)
        _, first, _ = dataset[f"{colour}PaletteColorLookupTableDescriptor"].value
        expected = np.array(entries)[np.clip(values - first, 0, len(entries) - 1).astype(int)] / 65535 * 255
        assert np.abs(picture[..., channel] - expected).max() <= 1


@pytest.mark.parametrize("name", ["OBXXXX1A.dcm", "OBXXXX1A_expb.dcm", "OBXXXX1A_rle.dcm"])
def test_a_palette_in_either_byte_order(name):
    values, dataset = stored("OBXXXX1A.dcm", "u1")
    picture, _ = shown(dicom_path(name))
    for channel, colour in enumerate(("Red", "Green", "Blue")):
        entries = np.frombuffer(dataset[f"{colour}PaletteColorLookupTableData"].value, "<u2")
        assert np.abs(picture[..., channel] - entries[values.astype(int)] / 65535 * 255).max() <= 1
    assert picture.max() > 200


# Lossy ones, and those of which chroma is stored at half the size, against their own uncompressed copies.
SAME = {
    "SC_rgb_jpeg_gdcm.dcm": ("SC_rgb.dcm", 0),
    "SC_rgb_gdcm_KY.dcm": ("SC_rgb.dcm", 0),
    "SC_rgb_rle_16bit.dcm": ("SC_rgb.dcm", 0),
    "SC_rgb_rle_32bit.dcm": ("SC_rgb.dcm", 0),
    "SC_rgb_expb_16bit.dcm": ("SC_rgb.dcm", 0),
    "SC_rgb_jls_lossy_line.dcm": ("SC_rgb.dcm", 2),
    "SC_rgb_dcmtk_+eb+cr.dcm": ("SC_rgb_dcmtk_ebcr_dcmd.dcm", 2),
    "SC_rgb_dcmtk_+eb+cy+n1.dcm": ("SC_rgb_dcmtk_ebcyn1_dcmd.dcm", 2),
    "SC_rgb_dcmtk_+eb+cy+s2.dcm": ("SC_rgb_dcmtk_ebcys2_dcmd.dcm", 2),
    "SC_rgb_jpeg.dcm": ("SC_rgb_jpeg_dcmd.dcm", 2),
    "SC_ybr_full_uncompressed.dcm": ("SC_rgb.dcm", 6),
    "MR_small_RLE.dcm": ("MR_small.dcm", 0),
    "MR_small_expb.dcm": ("MR_small.dcm", 0),
    "MR_small_jp2klossless.dcm": ("MR_small.dcm", 0),
    "MR_small_jpeg_ls_lossless.dcm": ("MR_small.dcm", 0),
    "RG3_J2KR.dcm": ("RG3_UNCR.dcm", 0),
    "693_J2KR.dcm": ("693_UNCR.dcm", 0),
}


@pytest.mark.parametrize("name", SAME)
def test_encodings_of_one_picture_give_one_picture(name):
    other, most = SAME[name]
    assert np.abs(shown(dicom_path(name))[0] - shown(dicom_path(other))[0]).max() <= most
