"""A quick run of the figures of tracks: bundled detector and model, two short moving scenes."""

from pathlib import Path

import pytest

pytest.importorskip("trackeval")
pytest.importorskip("av")


@pytest.mark.slow
def test_things_of_moving_scenes_are_followed_and_captioned_once(tmp_path: Path) -> None:
    from fo1_data.benchmarks.track_figures import measure

    document = measure(tmp_path, seed=920_000, num_scenes=2, num_frames=40, num_every=0, settings={})
    figures, tracked = document["figures"], document["tracked"]
    assert figures["hota"] > 0.75
    assert figures["captions"]["right"] > 0.85
    assert tracked["prefixes"] <= 0.15 * 2 * 40
