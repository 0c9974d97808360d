"""`fo1 bench size`: each measure does its work, at every size."""

import json
from pathlib import Path

from typer.testing import CliRunner

from fo1_data.benchmarks.size_speed import MEASURES, files_of_a_million
from fo1_data.cli.main import app


def test_every_measure_has_a_cost_at_every_size() -> None:
    done = CliRunner().invoke(app, ["bench", "size", "--rows", "48", "--json"], catch_exceptions=False)
    document = json.loads(done.stdout)
    assert set(document["measures"]) == {measure.name for measure in MEASURES}
    for name, figures in document["measures"].items():
        assert set(figures) == {"us_at_1", "us_at_4", "us_at_16", "growth"}, name
        assert min(figures.values()) > 0, name
    assert document["listing_bytes"] > 50
    assert document["files_of_a_million"] == 2


def test_a_million_images_are_as_many_files_as_the_limits_say(tmp_path: Path) -> None:
    """64 rows a file, which two shards fill."""
    assert files_of_a_million(tmp_path / "d", 1_280) == 20
