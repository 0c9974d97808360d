"""Generated texts: the same for the same seed, exact, and of two sets that share no string."""

import json
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from fo1_data.cli.main import app
from fo1_data.corpus.readers import load_listing
from fo1_data.errors import ConfigError
from fo1_data.synthetic.snippets import LONGEST_TEXT, draw_text, is_held_out, make_snippets

SEEDS = range(40)


def test_no_string_is_in_both_sets_and_all_lengths_occur() -> None:
    for held_out in (False, True):
        texts = [draw_text(np.random.default_rng(seed), held_out=held_out) for seed in range(200)]
        assert all(is_held_out(text) == held_out for text in texts)
        assert {len(text) for text in texts} == set(range(1, LONGEST_TEXT + 1))


def test_every_box_holds_ink_and_lies_in_the_image() -> None:
    for seed in SEEDS:
        made = make_snippets(seed)
        assert made.snippets
        for snippet in made.snippets:
            x_min, y_min, x_max, y_max = snippet.box_xyxy
            assert 0 <= x_min < x_max <= made.image.width
            assert 0 <= y_min < y_max <= made.image.height
            assert np.asarray(made.image.crop(snippet.box_xyxy), np.float32).std() > 1


def test_the_command_writes_a_corpus_that_is_read_back(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    options = ["--texts", "held-out", "--count", "5", "--seed", "3", "--max-objects", "2", "--json"]
    result = CliRunner().invoke(app, ["scenes", "--out", str(folder), *options])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["images"] == 5
    entries = load_listing(str(folder)).entries
    found = [[(region.text, region.box_xyxy) for region in entry.regions or []] for entry in entries]
    made = [make_snippets(seed, (1, 2), held_out=True).snippets for seed in range(3, 8)]
    assert found == [[(s.text, tuple(map(float, s.box_xyxy))) for s in snippets] for snippets in made]


def test_texts_do_not_go_with_moving_scenes(tmp_path: Path) -> None:
    options = ["--out", str(tmp_path / "x"), "--texts", "train", "--moving"]
    result = CliRunner().invoke(app, ["scenes", *options])
    assert isinstance(result.exception, ConfigError)
    assert "--texts" in str(result.exception)
