"""`fo1 bench size`: each measure does its work, at every size."""

import json

from typer.testing import CliRunner

from fo1_data.benchmarks.size_speed import MEASURES
from fo1_data.cli.main import app


def test_every_measure_has_a_cost_at_every_size() -> None:
    done = CliRunner().invoke(app, ["bench", "size", "--rows", "48", "--json"], catch_exceptions=False)
    document = json.loads(done.stdout)
    assert set(document["measures"]) == {measure.name for measure in MEASURES}
    for name, figures in document["measures"].items():
        assert set(figures) == {"us_at_1", "us_at_4", "us_at_16", "growth"}, name
        assert min(figures.values()) > 0, name
    assert document["listing_bytes"] > 50
