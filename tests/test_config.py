"""Settings from TOML, options over them, and one line for what does not fit."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from fo1_data.cli.run_options import with_run_options
from fo1_data.config import load_run
from fo1_data.errors import ConfigError


def write(folder: Path, text: str) -> str:
    path = folder / "run.toml"
    path.write_text(text)
    return str(path)


def test_options_win_over_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, 'corpus = "/in"\nout = "/out"\nactors = 2\nlabels = ["ocr"]\nlimit = 5\n')
    run = load_run(file, {"limit": 7, "model": None})
    assert (run.corpus, run.actor_range, run.limit, run.model) == ("/in", (2, 2), 7, "fo1-tiny")
    assert [kind.value for kind in run.labels] == ["ocr"]


def test_comma_lists_and_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    run = load_run(
        None,
        {
            "corpus": "pics",
            "out": "s3://b/out",
            "labels": "detect, count",
            "vocabulary": "cat,dog",
            "model": "model",
        },
    )
    assert run.corpus == str(tmp_path / "pics")
    assert run.out == "s3://b/out"
    assert run.model == str(tmp_path / "model")
    assert run.vocabulary == ["cat", "dog"]
    assert load_run(None, {"corpus": "a", "out": "b", "model": "owner/name"}).model == "owner/name"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('corpus = "a"\nout = "b"\nspeed = 9\nsize = 1\n', "unknown setting in .*run.toml: size, speed"),
        ("corpus = \n", "run.toml is not valid TOML"),
        ('corpus = "a"\n', "out: not given"),
        ('corpus = "a"\nout = "b"\nactors = "0"\n', "actors: "),
        ('corpus = "a"\nout = "b"\nlabels = "detect"\n', "need a vocabulary"),
        ('corpus = "a"\nout = "b"\naudit = 2\n', "audit: .*less than or equal to 1"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        load_run(write(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"cannot read the settings file /nowhere.toml"):
        load_run("/nowhere.toml")


def test_a_zero_is_said_and_a_flag_that_is_off_is_not() -> None:
    said: list[dict[str, object]] = []

    def command(settings: dict[str, object]) -> None:
        said.append(settings)

    app = typer.Typer()
    app.command()(with_run_options()(command))
    found = CliRunner().invoke(app, ["--seed", "0", "--validation-share", "0", "--score-floor", "0"])
    assert found.exit_code == 0, found.output
    assert said == [{"seed": 0, "validation_share": 0.0, "score_floor": 0.0}]
