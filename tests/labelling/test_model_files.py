"""What a run has loaded before identifies its model and boxes, as long as the sources have not changed."""

from pathlib import Path

from fo1_data.dataset.weights_record import LoadedSource
from fo1_data.labelling.model_files import ModelFiles
from schemas.jobs import RunConfig


def test_a_detector_is_known_until_its_files_change(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    files = ModelFiles(RunConfig(corpus="-", out="-", proposals=str(tmp_path)), loads_here=True)
    assert files.identity({}).proposer_sha256 is None
    loaded = LoadedSource(version=files.versions()["proposals"], name="detector", sha256="f" * 64)
    known = files.identity({"proposals": loaded})
    assert (known.proposer_name, known.proposer_sha256) == ("detector", "f" * 64)
    (tmp_path / "config.json").write_text("{ }")
    assert files.identity({"proposals": loaded}).proposer_sha256 is None


def test_a_cluster_loads_other_files_than_those_here(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    config = RunConfig(corpus="-", out="-", proposals=str(tmp_path))
    assert ModelFiles(config, loads_here=False).versions() == {}
