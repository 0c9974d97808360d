"""The example of an aerial image runs, and its boxes come back from the map."""

import importlib.util
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("rasterio")

EXAMPLE = Path(__file__).parents[2] / "examples" / "aerial" / "aerial.py"


def test_boxes_come_back_from_the_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("aerial", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    aerial = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(aerial)
    monkeypatch.setattr(aerial, "TILES", 1)
    aerial.main(tmp_path / "out")
    assert "come back within 0.000" in capsys.readouterr().out
    assert (tmp_path / "out" / "aerial.png").stat().st_size > 1000
