"""Honeypots in a real Label Studio: they look like other tasks, and measure who answers them."""

import json
from pathlib import Path

import pytest
from conftest import Pair
from review_bench import make_review_dataset

pytestmark = pytest.mark.timeout(600)


def test_a_reviewer_who_confirms_everything_is_found_out(pair: Pair, tmp_path: Path) -> None:
    dataset, rows = make_review_dataset(tmp_path, 8, 4)
    gold = tmp_path / "gold.jsonl"
    with gold.open("w") as file:
        for number, row in enumerate(rows):
            captions = ["another thing" if number % 2 else region.brief_caption for region in row.regions]
            regions = [
                {"box_xyxy": region.box_xyxy, "caption": caption}
                for region, caption in zip(row.regions, captions, strict=True)
            ]
            file.write(json.dumps({"image": row.uri, "regions": regions}) + "\n")
    review = pair.push(dataset, honeypots=0.5, honeypot_gold=str(gold), hold_below=0.9)
    tasks = pair.tasks(review["project_id"])
    assert (review["honeypots"], len(tasks)) == (4, 8)
    assert len({json.dumps(sorted(task["data"])) for task in tasks}) == 1
    for task in tasks:
        prediction = task["predictions"][0]
        pair.annotate(task["id"], prediction["result"], parent_prediction=prediction["id"])
    pulled = pair.api.post(f"/v1/reviews/{review['id']}/pull").raise_for_status().json()
    (figures,) = pulled["annotators"]
    assert (figures["tasks"], figures["answers"], figures["right"], figures["held"]) == (4, 16, 8, True)
    assert pulled["held_back"] == 4
    assert {correction["action"] for correction in pair.corrections(review["id"])} <= {"withdrawn"}
    pair.await_review(review["id"], state="open", items={"total": 12, "sent": 12})
