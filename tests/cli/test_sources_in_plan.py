"""`fo1 plan` accounts for every source of a corpus, and fails on rejected content if asked."""

import json
from pathlib import Path

from typer.testing import CliRunner

from fo1_data.cli.main import app

CASES = Path(__file__).parents[1] / "cases"
PLAN = ["--address", "in-process", "--no-measure", "--json"]


def plan(corpus: Path, *options: str) -> tuple[int, dict[str, object], str]:
    result = CliRunner().invoke(app, ["plan", str(corpus), *PLAN, *options])
    return result.exit_code, json.loads(result.stdout), result.stderr


def test_sources_and_rejects_are_told() -> None:
    corpus = CASES / "coco-one-id-for-two-files" / "input" / "ann.json"
    exit_code, document, told = plan(corpus)
    (source,) = document["sources"]  # type: ignore[misc]
    assert (source["found"], source["attached"], source["rejected"]) == (
        {"images": 2, "boxes": 1},
        {"images": 2},
        {"boxes": 1},
    )
    assert "ann.json: 2 images attached; a.png and b.png both have the id 4, with 1 box" in told
    assert (exit_code, document["problems"]) == (0, [])
    exit_code, document, _ = plan(corpus, "--strict")
    assert (exit_code, document["problems"]) == (1, ["1 part of the corpus rejected (--strict)"])


def test_a_guessed_frame_is_told() -> None:
    _, document, told = plan(CASES / "yolo-turned-photograph" / "input")
    assert document["files"]["guessed_frames"] == 1  # type: ignore[index]
    assert "1 image is turned or mirrored" in told


def test_a_size_that_does_not_fit_is_a_bad_file() -> None:
    _, document, _ = plan(CASES / "coco-size-before-shrinking" / "input" / "ann.json")
    assert document["files"]["bad_by_reason"] == {"box: other_size": 1}  # type: ignore[index]
