"""The parts of examples/loop that decide its figures: splits, selections, answers, steps and counts."""

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
import figures
import split
import steps
import summary


def test_the_held_out_part_is_the_same_for_every_seed_and_no_image_is_in_two_parts() -> None:
    splits = [split.divide(292, seed, 80, 100, 30) for seed in range(3)]

    assert len({tuple(parts["held"]) for parts in splits}) == 1
    assert len({tuple(parts["pool"]) for parts in splits}) == 3
    for parts in splits:
        sizes = {name: len(indices) for name, indices in parts.items()}
        assert sizes == {"held": 73, "check": 80, "tune": 30, "pool": 100}
        assert len(set().union(*parts.values())) == 283
    without, wide = split.divide(292, 1, 110, 100), split.divide(292, 1, 80, 100, 30)
    assert wide["pool"] == without["pool"]


def test_the_parts_to_label_have_no_names(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    entries = []
    for number in range(8):
        Image.new("RGB", (40, 30), (number, 0, 0)).save(corpus / f"{number}.png")
        regions = [{"box_xyxy": [4, 6, 20, 30], "label": "RBC"}, {"box_xyxy": [0, 0, 9, 9], "label": "WBC"}]
        entries.append({"image": f"{number}.png", "width": 40, "height": 30, "regions": regions})
    (corpus / "annotations.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    sizes = split.prepare(corpus, tmp_path / "out", 0, 1, 3, 2, 1)

    assert (sizes["pool"], sizes["held"]) == ({"images": 3, "boxes": 6}, {"images": 2, "boxes": 4})
    lines = (tmp_path / "out" / "pool" / "annotations.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert first["regions"][0] == {"box_xyxy": [2, 3, 10, 15]}
    assert first["phrases"] == [{"text": "rbc"}, {"text": "wbc"}]
    with Image.open(first["image"]) as scaled:
        assert scaled.size == (20, 15)
    drawn = split.take_boxes(tmp_path / "out", 2) / "annotations.jsonl"
    boxes = [json.loads(line) for line in drawn.read_text().splitlines()]
    assert [entry["image"] for entry in boxes] == [json.loads(line)["image"] for line in lines[:2]]
    assert all(not entry["phrases"] and set(entry["regions"][0]) == {"box_xyxy"} for entry in boxes)
    gold = answers.Gold(tmp_path / "out" / "gold" / "pool")
    assert gold.name(first["image"], [2, 3, 10, 15.4]) == "rbc"
    with pytest.raises(KeyError, match="no box"):
        gold.name(first["image"], [2, 3, 10, 25])


@pytest.fixture
def routed(tmp_path: Path) -> tuple[Path, answers.Gold]:
    """Two images, each with a box in review, one beyond the budget and an accepted one; and their gold."""
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


def test_each_selection_chooses_its_captions(routed: tuple[Path, answers.Gold]) -> None:
    boxes = answers.captioned_boxes(*routed)

    selected = {name: answers.select(boxes, name, 2, 7) for name in ("routing", "random", "least-confident")}

    assert [box.caption == box.gold_name for box in selected["routing"]] == [False, False]
    assert {box.log_probability for box in selected["least-confident"]} == {-13.0, -12.0}
    assert selected["random"] == answers.select(boxes, "random", 2, 7)
    assert {tuple(answers.select(boxes, "random", 2, seed)) for seed in range(20)} != {
        tuple(selected["random"])
    }


def merge(dataset: Path, lines: Path, out: Path) -> None:
    merge_corrections(str(dataset), parse_corrections(lines.read_text().splitlines()), str(out))


def test_answers_are_merged_and_not_asked_for_again(
    routed: tuple[Path, answers.Gold], tmp_path: Path
) -> None:
    """Restated answers, in which a confirmation becomes the confirmed name, merge to the same captions."""
    dataset, gold = routed
    boxes = answers.captioned_boxes(dataset, gold)
    corrections = answers.corrections(boxes[:5], 1)
    answers.write_lines(tmp_path / "corrections.jsonl", corrections)

    merge(dataset, tmp_path / "corrections.jsonl", tmp_path / "merged")
    merged = answers.captioned_boxes(tmp_path / "merged", gold)

    assert Counter(correction["action"] for correction in corrections) == {
        "recaptioned": sum(not box.right for box in boxes[:5]),
        "verdict": sum(box.right for box in boxes[:5]),
    }
    assert all(box.right for box in merged if box.by_person)
    assert answers.select(merged, "random", 10, 0) == [box for box in merged if not box.by_person]
    assert len(answers.select(merged, "random", 10, 0)) == 1
    restated = answers.restated(answers.load_lines(tmp_path / "corrections.jsonl"))
    assert {correction["action"] for correction in restated} == {"recaptioned"}
    assert {correction["region_id"]: correction["after"]["text"] for correction in restated} == {
        box.region_id: box.gold_name for box in boxes[:5]
    }
    answers.write_lines(tmp_path / "restated.jsonl", restated)
    merge(dataset, tmp_path / "restated.jsonl", tmp_path / "merged-again")
    merged_again = answers.captioned_boxes(tmp_path / "merged-again", gold)
    assert [box.caption for box in merged_again] == [box.caption for box in merged]


def test_images_of_the_same_name_in_two_folders_stay_separate(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    entries: list[dict[str, Any]] = [{"image": "empty.png"}]
    for number, folder in enumerate(("train", "test")):
        (corpus / folder).mkdir(parents=True)
        Image.new("RGB", (10, 10), (number, 0, 0)).save(corpus / folder / "1.png")
        regions = [{"box_xyxy": [0, 0, 9, 9], "label": folder}]
        entries.append({"image": f"{folder}/1.png", "width": 10, "height": 10, "regions": regions})
    (corpus / "annotations.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    sizes = split.prepare(corpus, tmp_path / "out", 0, 0, 9, 1)

    assert sizes["pool"]["images"] == 2
    gold = answers.Gold(tmp_path / "out" / "gold" / "pool")
    lines = (tmp_path / "out" / "gold" / "pool" / "annotations.jsonl").read_text().splitlines()
    for entry in map(json.loads, lines):
        red = Image.open(entry["image"]).getpixel((0, 0))[0]
        assert gold.name(entry["image"], [0, 0, 9, 9]) == ("train", "test")[red]


def test_the_result_of_a_step_is_stored_and_other_arguments_are_refused(tmp_path: Path) -> None:
    messages: list[str] = []
    folder_steps = steps.Steps(tmp_path, messages.append)
    assert folder_steps.once("draw", lambda: {"seed": 1}, [1]) == {"seed": 1}
    assert folder_steps.once("draw", lambda: {"seed": 2}, [1]) == {"seed": 1}
    with pytest.raises(
        steps.StepError, match=r"draw.json was made with \[1\], not with \[2\]: name a new OUT"
    ):
        folder_steps.once("draw", lambda: {"seed": 2}, [2])
    assert len(messages) == 1


def test_a_step_with_a_changed_input_file_is_refused(
    routed: tuple[Path, answers.Gold], tmp_path: Path
) -> None:
    dataset, gold = routed
    corrections = answers.corrections(answers.captioned_boxes(dataset, gold), 1)
    lines, messages = tmp_path / "corrections.jsonl", list[str]()
    run = steps.Steps(tmp_path / "run", messages.append)

    def merged() -> dict[str, Any]:
        return run.run("m", "dataset", "merge", dataset, "--corrections", lines, out=tmp_path / "merged")

    answers.write_lines(lines, corrections)
    assert merged() == merged()
    assert len(messages) == 1
    answers.write_lines(lines, corrections[:1])
    with pytest.raises(steps.StepError, match="name a new OUT"):
        merged()


def test_figures(routed: tuple[Path, answers.Gold]) -> None:
    boxes = answers.captioned_boxes(*routed)

    naming, acceptance = figures.naming(boxes), figures.acceptance(boxes)

    assert (naming["boxes"], naming["right"]) == (6, 0.6667)
    assert (acceptance["accepted"], acceptance["accepted_error"]) == (2, 0.0)
    assert figures.acceptance([box for box in boxes if not box.accepted])["accepted_error"] is None


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


def test_a_summary_has_the_spread_the_answers_to_the_aim_and_every_error_above_the_bound() -> None:
    runs = [run_of(0, [0.1, 0.96, 0.9], [None, 0.05, 0.2]), run_of(1, [0.2, 0.5, 0.6], [None, 0.1, 0.0])]

    document = summary.summarise(runs, 0.95)

    routing = document["selections"]["routing"]
    assert routing["rounds"][1]["right"] == {"mean": 0.73, "least": 0.5, "most": 0.96}
    assert routing["answers_to_aim"] == {"seed-0": 10, "seed-1": None}
    assert document["acceptance"] == {"bound": 0.1, "measured": 4, "above": [("seed-0", 2, "held", 0.2)]}
    assert "| 1 | 10 | 0.73 [0.5, 0.96] |" in summary.tables(document)
