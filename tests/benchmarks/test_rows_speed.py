"""What a row costs: the commands that are timed are known, and start-up is left out of a row's cost."""

import shlex

import pytest
import typer

from fo1_data.benchmarks.rows_speed import COMMANDS, row_us
from fo1_data.cli.main import app


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_options_that_exist(name: str) -> None:
    command = typer.main.get_command(app)
    words = shlex.split(COMMANDS[name].format(f="folder"))
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(name, words)  # raises for what it does not know


def test_a_row_costs_what_the_larger_size_takes_more() -> None:
    assert row_us({1000: [2.0, 100], 4000: [2.6, 120]}) == pytest.approx(200)
    assert row_us({1000: [2.0, 100]}) is None
