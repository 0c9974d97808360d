"""Windows of decoded images: the same pixels as a crop, whatever the orientation."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.windows import open_windows
from fo1_data.errors import InputReject
from schemas.corpus import CorpusImage


def _write(path: Path, orientation: int = 1) -> Image.Image:
    image = Image.effect_noise((60, 40), 80).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)
    return image


def test_a_window_holds_the_pixels_of_the_upright_image(tmp_path: Path) -> None:
    image = _write(tmp_path / "a.png", orientation=6)
    upright = image.transpose(Image.Transpose.ROTATE_270)
    with open_windows(CorpusImage(uri=str(tmp_path / "a.png")), InputLimits()) as windows:
        assert (windows.image_wh, windows.orientation) == ((40, 60), 6)
        window = windows.read((5, 10, 35, 30))
    assert np.array_equal(np.asarray(window.rgb), np.asarray(upright.crop((5, 10, 35, 30))))
    assert not window.is_empty


def test_a_long_window_is_shrunk_to_the_limit_and_a_short_one_is_not_enlarged(tmp_path: Path) -> None:
    _write(tmp_path / "a.png")
    with open_windows(CorpusImage(uri=str(tmp_path / "a.png")), InputLimits()) as windows:
        assert windows.read((0, 0, 60, 40), longest_px=30).rgb.size == (30, 20)
        assert windows.read((0, 0, 10, 10), longest_px=30).rgb.size == (10, 10)


def test_a_window_of_one_value_is_empty(tmp_path: Path) -> None:
    image = Image.new("RGB", (60, 40), (7, 7, 7))
    image.putpixel((50, 30), (8, 7, 7))
    image.save(tmp_path / "a.png")
    with open_windows(CorpusImage(uri=str(tmp_path / "a.png")), InputLimits()) as windows:
        assert windows.read((0, 0, 40, 40)).is_empty
        assert not windows.read((40, 0, 60, 40)).is_empty


def test_what_cannot_be_decoded_is_a_reject(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(InputReject, match="not an image format"):
        open_windows(CorpusImage(uri=str(tmp_path / "a.png")), InputLimits())
