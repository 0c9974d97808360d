"""The parts of examples/loop that decide its figures: what is held out, asked, said and counted."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from factories import make_dataset, make_row
from PIL import Image

from fo1_data.confidence.routing import BEYOND_BUDGET
from fo1_data.dataset.versions.merge import merge_corrections
from schemas.corrections import parse_corrections
from schemas.labels import Decision, Signal

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "loop"))

import answers
import commands
import figures
import split
import summary


def test_the_held_out_part_is_the_same_for_every_seed_and_no_image_is_in_two_parts() -> None:
    parts = [split.divide(292, seed, 80, 100) for seed in range(3)]

    assert len({tuple(one["held"]) for one in parts}) == 1
    assert len({tuple(one["pool"]) for one in parts}) == 3
    for one in parts:
        assert {name: len(places) for name, places in one.items()} == {"held": 73, "check": 80, "pool": 100}
        assert len(set().union(*one.values())) == 253


def test_the_parts_that_are_labelled_hold_no_name(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    entries = []
    for number in range(8):
        Image.new("RGB", (40, 30), (number, 0, 0)).save(corpus / f"{number}.png")
        regions = [{"box_xyxy": [4, 6, 20, 30], "label": "RBC"}, {"box_xyxy": [0, 0, 9, 9], "label": "WBC"}]
        entries.append({"image": f"{number}.png", "width": 40, "height": 30, "regions": regions})
    (corpus / "annotations.jsonl").write_text("".join(json.dumps(one) + "\n" for one in entries))

    told = split.prepare(corpus, tmp_path / "out", 0, 2, 3, 2)

    assert (told["pool"], told["held"]) == ({"images": 3, "boxes": 6}, {"images": 2, "boxes": 4})
    shown = (tmp_path / "out" / "pool" / "annotations.jsonl").read_text()
    first = json.loads(shown.splitlines()[0])
    assert first["regions"][0] == {"box_xyxy": [2, 3, 10, 15]}
    assert first["phrases"] == [{"text": "rbc"}, {"text": "wbc"}]
    with Image.open(first["image"]) as scaled:
        assert scaled.size == (20, 15)
    gold = answers.Gold(tmp_path / "out" / "gold" / "pool")
    assert gold.name(first["image"], [2, 3, 10, 15.4]) == "rbc"
    with pytest.raises(KeyError, match="no box"):
        gold.name(first["image"], [2, 3, 10, 25])


@pytest.fixture
def routed(tmp_path: Path) -> tuple[Path, answers.Gold]:
    """Two images of three boxes: sent to people, beyond the budget, accepted; and what they are called."""
    rows = []
    for seed in range(2):
        row = make_row(seed, 3, decisions=[Decision.REVIEW, Decision.REVIEW, Decision.ACCEPT])
        for place, region in enumerate(row.regions):
            region.labels[0].signals = [Signal(name="logprob_mean", value=-1.0 - place - 10 * seed)]
        row.regions[1].labels[0].reasons = [BEYOND_BUDGET]
        rows.append(row)
    make_dataset(tmp_path / "routed", rows)
    lines = []
    for row in rows:
        regions: list[dict[str, Any]] = [
            {"box_xyxy": region.box_xyxy, "caption": region.brief_caption} for region in row.regions
        ]
        regions[0]["caption"] = "something else"
        lines.append(json.dumps({"image": row.uri, "regions": regions}))
    (tmp_path / "annotations.jsonl").write_text("\n".join(lines))
    return tmp_path / "routed", answers.Gold(tmp_path)


def test_who_is_asked_about_what(routed: tuple[Path, answers.Gold]) -> None:
    boxes = answers.named_boxes(*routed)

    chosen = {name: answers.select(boxes, name, 2, 7) for name in ("routing", "random", "least-confident")}

    assert [one.said == one.gold for one in chosen["routing"]] == [False, False]
    assert {one.log_probability for one in chosen["least-confident"]} == {-13.0, -12.0}
    assert chosen["random"] == answers.select(boxes, "random", 2, 7)
    assert {tuple(answers.select(boxes, "random", 2, seed)) for seed in range(20)} != {
        tuple(chosen["random"])
    }


def merge(dataset: Path, lines: Path, out: Path) -> None:
    merge_corrections(str(dataset), parse_corrections(lines.read_text().splitlines()), str(out))


def test_what_people_said_merges_and_is_asked_of_nobody_again(
    routed: tuple[Path, answers.Gold], tmp_path: Path
) -> None:
    """Also said again of other captions: a confirmed name becomes that name."""
    dataset, gold = routed
    boxes = answers.named_boxes(dataset, gold)
    told = answers.corrections(boxes[:5], 1)
    answers.write_lines(tmp_path / "said.jsonl", told)

    merge(dataset, tmp_path / "said.jsonl", tmp_path / "merged")
    after = answers.named_boxes(tmp_path / "merged", gold)

    assert Counter(one["action"] for one in told) == {
        "recaptioned": sum(not one.right for one in boxes[:5]),
        "verdict": sum(one.right for one in boxes[:5]),
    }
    assert all(one.right for one in after if one.by_person)
    assert answers.select(after, "random", 10, 0) == [one for one in after if not one.by_person]
    assert len(answers.select(after, "random", 10, 0)) == 1
    again = answers.restated(answers.read_lines(tmp_path / "said.jsonl"))
    assert {one["action"] for one in again} == {"recaptioned"}
    assert {one["region_id"]: one["after"]["text"] for one in again} == {
        one.region_id: one.gold for one in boxes[:5]
    }
    answers.write_lines(tmp_path / "again.jsonl", again)
    merge(dataset, tmp_path / "again.jsonl", tmp_path / "once-more")
    assert [one.said for one in answers.named_boxes(tmp_path / "once-more", gold)] == [
        one.said for one in after
    ]


def test_images_of_one_name_in_two_folders_stay_apart(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    entries: list[dict[str, Any]] = [{"image": "empty.png"}]
    for number, folder in enumerate(("train", "test")):
        (corpus / folder).mkdir(parents=True)
        Image.new("RGB", (10, 10), (number, 0, 0)).save(corpus / folder / "1.png")
        regions = [{"box_xyxy": [0, 0, 9, 9], "label": folder}]
        entries.append({"image": f"{folder}/1.png", "width": 10, "height": 10, "regions": regions})
    (corpus / "annotations.jsonl").write_text("".join(json.dumps(one) + "\n" for one in entries))

    told = split.prepare(corpus, tmp_path / "out", 0, 0, 9, 1)

    assert told["pool"]["images"] == 2
    gold = answers.Gold(tmp_path / "out" / "gold" / "pool")
    lines = (tmp_path / "out" / "gold" / "pool" / "annotations.jsonl").read_text().splitlines()
    for entry in map(json.loads, lines):
        red = Image.open(entry["image"]).getpixel((0, 0))[0]
        assert gold.name(entry["image"], [0, 0, 9, 9]) == ("train", "test")[red]


def test_a_step_is_kept_and_refused_for_other_arguments(tmp_path: Path) -> None:
    said: list[str] = []
    steps = commands.Steps(tmp_path, said.append)
    assert steps.once("draw", lambda: {"seed": 1}, asked=[1]) == {"seed": 1}
    assert steps.once("draw", lambda: {"seed": 2}, asked=[1]) == {"seed": 1}
    with pytest.raises(
        commands.StepError, match=r"draw.json was made of \[1\], not of \[2\]: name a new OUT"
    ):
        steps.once("draw", lambda: {"seed": 2}, asked=[2])
    assert len(said) == 1


def test_a_step_that_has_read_another_file_is_refused(
    routed: tuple[Path, answers.Gold], tmp_path: Path
) -> None:
    dataset, gold = routed
    told = answers.corrections(answers.named_boxes(dataset, gold), 1)
    lines, said = tmp_path / "said.jsonl", list[str]()
    steps = commands.Steps(tmp_path / "run", said.append)

    def merged() -> dict[str, Any]:
        return steps.run("m", "dataset", "merge", dataset, "--corrections", lines, out=tmp_path / "merged")

    answers.write_lines(lines, told)
    assert merged() == merged()
    assert len(said) == 1
    answers.write_lines(lines, told[:1])
    with pytest.raises(commands.StepError, match="name a new OUT"):
        merged()


def test_figures(routed: tuple[Path, answers.Gold]) -> None:
    boxes = answers.named_boxes(*routed)

    naming, acceptance = figures.naming(boxes), figures.acceptance(boxes)

    assert (naming["boxes"], naming["right"]) == (6, 0.6667)
    assert (acceptance["accepted"], acceptance["accepted_error"]) == (2, 0.0)
    assert figures.acceptance([one for one in boxes if not one.accepted])["accepted_error"] is None


def run_of(seed: int, rights: list[float], errors: list[float | None]) -> dict[str, Any]:
    rounds = [
        {
            "round": number,
            "answers_so_far": 10 * number,
            "held": {
                "naming": {"right": right},
                "grounding_f1": 0.5,
                "acceptance": {"accepted_share": 0.5, "accepted_error": error},
            },
            "pool": {"acceptance": {"accepted_share": 0.5, "accepted_error": None}},
        }
        for number, (right, error) in enumerate(zip(rights, errors, strict=True))
    ]
    return {"name": f"seed-{seed}", "settings": {"selection": "routing", "max_error": 0.1}, "rounds": rounds}


def test_a_summary_tells_spread_when_the_aim_was_reached_and_every_broken_promise() -> None:
    runs = [run_of(0, [0.1, 0.96, 0.9], [None, 0.05, 0.2]), run_of(1, [0.2, 0.5, 0.6], [None, 0.1, 0.0])]

    found = summary.summarise(runs, 0.95)

    routing = found["selections"]["routing"]
    assert routing["rounds"][1]["right"] == {"mean": 0.73, "least": 0.5, "most": 0.96}
    assert routing["answers_to_aim"] == {"seed-0": 10, "seed-1": None}
    assert found["acceptance"] == {"bound": 0.1, "measured": 4, "above": [("seed-0", 2, "held", 0.2)]}
    assert "| 1 | 10 | 0.73 [0.5, 0.96] |" in summary.tables(found)
