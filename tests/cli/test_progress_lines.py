"""The lines of a run without a terminal."""

import pytest
from rich.console import Console

from fo1_data.cli import progress_lines
from fo1_data.cli.progress_lines import ProgressLines
from schemas.progress import RunProgress, RunState

DONE = RunProgress(images=2, images_total=2, regions=32, images_per_s=7.2)


@pytest.mark.parametrize(
    ("change", "last"),
    [
        ({}, []),
        ({"images_per_s": 6.8}, []),
        ({"rejected": 1}, ["2/2 images · 7.2 images/s · 32 regions · 1 rejected"]),
        ({"accepted": 3}, ["2/2 images · 7.2 images/s · 3 accepted, 0 to audit, 0 to review · 0 rejected"]),
    ],
    ids=["the same", "another rate", "a reject", "decided"],
)
def test_the_end_of_a_run_is_a_line_if_it_says_more(
    change: dict[str, float], last: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ProgressLines(Console(stderr=True, soft_wrap=True))
    lines.show(DONE)
    lines.show(DONE.model_copy(update={"state": RunState.SUCCEEDED, **change}))
    first = "2/2 images · 7.2 images/s · 32 regions · 0 rejected"
    assert capsys.readouterr().err.splitlines() == [first, *last]


def test_a_run_that_ends_before_its_counts_were_shown_shows_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = ProgressLines(Console(stderr=True, soft_wrap=True))
    lines.show(DONE.model_copy(update={"images": 1}))
    lines.show(DONE)  # too soon
    lines.show(DONE.model_copy(update={"state": RunState.SUCCEEDED}))
    assert [line[:3] for line in capsys.readouterr().err.splitlines()] == ["1/2", "2/2"]


def test_a_run_that_stands_still_is_shown_with_its_rates(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_lines, "PLAIN_EVERY_S", 0.0)
    lines = ProgressLines(Console(stderr=True, soft_wrap=True))
    for rate in (7.2, 6.8):
        lines.show(DONE.model_copy(update={"images": 1, "images_per_s": rate}))
    assert len(capsys.readouterr().err.splitlines()) == 2
