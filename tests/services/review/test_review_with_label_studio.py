"""The round trip with a real Label Studio: push, annotate, hear or pull, correct, merge."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Pair
from factories import make_dataset
from review_bench import make_review_dataset, review_rows
from review_samples import asked_row, edited, older_config
from reviewed_datasets import merge_reviewed, problems_by_label_studio

from fo1_data.dataset.versions.compare import compare_datasets
from schemas.labels import LabelKind, Source
from services.label_studio.labelling_config import CONFIG
from services.label_studio.shown_from_rows import shown_image

pytestmark = pytest.mark.timeout(600)


def test_a_review_from_push_to_merge(pair: Pair, tmp_path: Path) -> None:
    """Also twice pushed; every prediction is sound by Label Studio's own judgement; images load."""
    dataset, rows = make_review_dataset(tmp_path, 5, 3)
    review = pair.push(dataset)
    again = pair.push(dataset)
    tasks = pair.tasks(review["project_id"])

    assert again["id"] == review["id"]
    assert sorted(task["data"]["image_id"] for task in tasks) == sorted(row.image_id for row in rows)
    assert [task["data"]["image_id"] for task in sorted(tasks, key=lambda entry: entry["id"])] == [
        row.image_id for row in rows
    ]
    project = pair.ls.get(f"/api/projects/{review['project_id']}").json()
    assert project["model_version"] == review["model_version"] == tasks[0]["predictions"][0]["model_version"]
    assert problems_by_label_studio(tasks) == []
    picture = httpx.get(tasks[0]["data"]["image"])
    assert picture.headers["content-type"].startswith("image/")

    row = rows[0]
    task = next(task for task in tasks if task["data"]["image_id"] == row.image_id)
    prediction = task["predictions"][0]["result"]
    untouched = next(task for task in tasks if task["data"]["image_id"] == rows[1].image_id)
    changed = [entry for entry in prediction if entry["id"] != row.regions[2].region_id]
    for entry in changed:
        if entry["id"] == row.regions[0].region_id and entry["from_name"] == "brief_caption":
            entry["value"]["text"] = ["a corrected caption"]
        if entry["id"] == row.regions[1].region_id:
            entry["value"]["x"] += 10
            entry["value"]["width"] -= 10
    pair.annotate(task["id"], changed)
    pair.annotate(untouched["id"], untouched["predictions"][0]["result"])
    pair.annotate(tasks[-1]["id"], [], was_cancelled=True)
    # Each submit was heard before Label Studio answered it; the loop looks into it by itself.
    heard = pair.await_review(review["id"], annotations={"submitted": 2, "cancelled": 1})
    first = pair.corrections(review["id"], limit=3)
    pulled = pair.api.post(f"/v1/reviews/{review['id']}/pull").raise_for_status().json()

    assert heard["seconds_per_item"] == pytest.approx(4.5)
    assert (pulled["pulled"]["created"], pulled["pulled"]["updated"]) == (0, 0)
    assert pair.corrections(review["id"]) == first
    of_row = {
        entry["action"]: entry
        for entry in first
        if entry["image_id"] == row.image_id and entry["action"] != "verdict"
    }
    assert set(of_row) == {"recaptioned", "moved", "deleted"}
    assert of_row["recaptioned"]["before"]["text"] == row.regions[0].brief_caption
    assert of_row["recaptioned"]["after"]["text"] == "a corrected caption"
    assert of_row["moved"]["annotator"] == pair.label_studio.username
    assert {entry["action"] for entry in first if entry["image_id"] == rows[1].image_id} == {"verdict"}
    merged = merge_reviewed(pair, dataset, "service", tmp_path / "merged")
    assert merged[row.image_id].regions[0].brief_caption == "a corrected caption"
    assert len(merged[row.image_id].regions) == 2
    assert merged[row.image_id].regions[1].box_source is Source.HUMAN
    assert [region.box_xyxy for region in merged[rows[1].image_id].regions] == [
        region.box_xyxy for region in rows[1].regions
    ]
    # Deleted and skipped in Label Studio: the version after the merge is as if nothing had been said.
    (mistake,) = pair.ls.get(f"/api/tasks/{task['id']}/annotations/").raise_for_status().json()
    pair.ls.delete(f"/api/annotations/{mistake['id']}/").raise_for_status()
    (confirmed,) = pair.ls.get(f"/api/tasks/{untouched['id']}/annotations/").raise_for_status().json()
    skipped = {"was_cancelled": True, "result": confirmed["result"]}
    pair.ls.patch(f"/api/annotations/{confirmed['id']}/", json=skipped).raise_for_status()
    pair.api.post(f"/v1/reviews/{review['id']}/pull").raise_for_status()
    assert {entry["action"] for entry in pair.corrections(review["id"])} == {"withdrawn"}
    merge_reviewed(pair, tmp_path / "merged", "service", tmp_path / "next")
    assert compare_datasets(str(tmp_path / "next"), str(dataset)).is_empty


def test_answers_and_examples_from_push_to_merge(pair: Pair, tmp_path: Path) -> None:
    """The first project is one of before there were answers: the second image needs a field it lacks."""
    rows = [asked_row(row) for row in review_rows(2, tmp_path / "images", 3)]
    dataset = tmp_path / "dataset"
    make_dataset(dataset, rows)
    review = pair.push(dataset, limit=1)
    project = f"/api/projects/{review['project_id']}/"
    (task,) = pair.tasks(review["project_id"])
    old = {"label_config": older_config(CONFIG)}
    without = [entry for entry in task["predictions"][0]["result"] if entry["from_name"] != "answers"]
    pair.annotate(task["id"], without)
    # Read before the field is gone: what is read while a field is missing is set aside.
    pair.await_review(review["id"], annotations={"submitted": 1})
    pair.ls.patch(project, json=old).raise_for_status()
    assert pair.push(dataset, limit=2)["items"] == {"total": 2, "sent": 2}
    assert 'name="answers"' in pair.ls.get(project).json()["label_config"]

    tasks = {task["data"]["image_id"]: task for task in pair.tasks(review["project_id"])}
    assert problems_by_label_studio(list(tasks.values())) == []
    row = rows[1]
    first, second, third = row.regions
    result = tasks[row.image_id]["predictions"][0]["result"]
    place = next(entry["value"] for entry in result if entry["id"] == third.region_id)
    for entry in result:
        if entry["from_name"] == "answers":
            assert entry["value"]["text"][0] == "1. How many shapes?\nthree"
            entry["value"]["text"] = [
                entry["value"]["text"][0],
                entry["value"]["text"][2].replace("blue", "green"),
            ]
    like = {**place, "choices": ["p1"]}
    like.pop("rectanglelabels", None)
    result.append(
        {
            "id": third.region_id,
            "from_name": "phrases",
            "to_name": "image",
            "type": "choices",
            "value": like,
            "original_width": row.width,
            "original_height": row.height,
        }
    )
    pair.annotate(tasks[row.image_id]["id"], result)
    pair.await_review(review["id"], annotations={"submitted": 2})

    merged = merge_reviewed(pair, dataset, "service", tmp_path / "merged")[row.image_id]
    told = [(answer.question, answer.region_id, answer.answer) for answer in merged.answers]
    assert told == [
        ("How many shapes?", None, "three"),
        ("What colour is {region}?", second.region_id, "green"),
    ]
    assert {item.label.annotator for item in merged.answers} == {pair.label_studio.username}
    example = merged.groundings[-1]
    assert (example.kind, example.phrase) == (LabelKind.VISUAL_EXAMPLE, first.region_id)
    assert example.region_ids == [second.region_id, third.region_id]
    assert example.label.source is Source.HUMAN


def test_changed_deleted_and_unheard(pair: Pair, tmp_path: Path) -> None:
    """With the webhook gone the pull finds all of it: created, changed, deleted."""
    dataset, rows = make_review_dataset(tmp_path, 4)
    review = pair.push(dataset)
    for hook in pair.ls.get("/api/webhooks/", params={"project": review["project_id"]}).json():
        pair.ls.delete(f"/api/webhooks/{hook['id']}/").raise_for_status()
    by_image = {task["data"]["image_id"]: task["id"] for task in pair.tasks(review["project_id"])}
    shown = [shown_image(row) for row in rows]
    ids = [
        pair.annotate(by_image[row.image_id], edited(item, a="first"))
        for row, item in zip(rows, shown, strict=True)
    ]

    def pull() -> dict[str, Any]:
        found: dict[str, Any] = pair.api.post(f"/v1/reviews/{review['id']}/pull").raise_for_status().json()
        return found

    assert pull()["pulled"]["created"] == 4
    pair.ls.patch(
        f"/api/annotations/{ids[0]}/", json={"result": edited(shown[0], a="second")}
    ).raise_for_status()
    pair.ls.delete(f"/api/annotations/{ids[1]}/").raise_for_status()
    pair.ls.patch(f"/api/annotations/{ids[2]}/", json={"ground_truth": True}).raise_for_status()
    after = pull()

    assert (after["pulled"]["created"], after["pulled"]["deleted"]) == (0, 1)
    assert after["annotations"] == {"submitted": 3, "deleted": 1}
    texts = {entry["image_id"]: entry["after"]["text"] for entry in pair.corrections(review["id"])
             if entry["action"] == "recaptioned"}  # fmt: skip
    assert texts == {rows[0].image_id: "second", rows[2].image_id: "first", rows[3].image_id: "first"}
    truth = {entry["image_id"] for entry in pair.corrections(review["id"]) if entry["ground_truth"]}
    assert truth <= {rows[2].image_id}
    assert pull()["pulled"]["updated"] == 0


def test_label_studio_asks_the_model_while_people_annotate(pair: Pair, tmp_path: Path) -> None:
    """A drawn box comes back with its caption, a phrase as regions, through Label Studio's own server."""
    dataset, _ = make_review_dataset(tmp_path, 1)
    review = pair.push(dataset)
    assert pair.ls.get("/api/ml", params={"project": review["project_id"]}).json() == []
    review = pair.push(dataset, live=True)
    review = pair.push(dataset)
    (backend,) = pair.ls.get("/api/ml", params={"project": review["project_id"]}).json()
    project = pair.ls.get(f"/api/projects/{review['project_id']}").json()
    (task,) = pair.tasks(review["project_id"])

    def gesture(**result: Any) -> list[dict[str, Any]]:
        body = {"task": task["id"], "context": {"result": [result]}}
        answer = pair.ls.post(f"/api/ml/{backend['id']}/interactive-annotating", json=body)
        found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
        return found

    assert (review["error"], backend["is_interactive"], backend["state"]) == (None, True, "CO")
    assert project["model_version"] == review["model_version"]
    drawn = {
        "x": 10.0,
        "y": 20.0,
        "width": 30.0,
        "height": 40.0,
        "rotation": 0,
        "rectanglelabels": ["region"],
    }
    box, caption = gesture(from_name="box", type="rectanglelabels", value=drawn)
    assert box["value"].pop("rectanglelabels") == drawn.pop("rectanglelabels")
    assert box["value"] == pytest.approx(drawn)
    assert (caption["from_name"], caption["value"]["text"]) == ("brief_caption", ["seen live"])
    assert caption["id"] == box["id"]
    found = gesture(from_name="find", type="textarea", value={"text": ["a red thing"]})
    assert [entry["from_name"] for entry in found] == ["box", "brief_caption"]
    assert found[1]["value"]["text"] == ["a red thing"]
    wrong = httpx.post(f"{pair.url}/ml/setup", json={}, auth=(review["id"], "0" * 64))
    assert wrong.status_code == 401

    # No longer live, and live again.
    review = pair.push(dataset, live=False)
    assert pair.ls.get("/api/ml", params={"project": review["project_id"]}).json() == []
    review = pair.push(dataset, live=True)
    (backend,) = pair.ls.get("/api/ml", params={"project": review["project_id"]}).json()
    assert (review["error"], backend["state"]) == (None, "CO")


def test_webhooks_need_their_secret(pair: Pair, tmp_path: Path) -> None:
    dataset, _ = make_review_dataset(tmp_path, 1)
    review = pair.push(dataset)
    (hook,) = pair.ls.get("/api/webhooks/", params={"project": review["project_id"]}).json()
    body = {"action": "ANNOTATION_CREATED", "annotation": {"id": 1, "task": 1}}

    def post(headers: dict[str, str]) -> int:
        return httpx.post(hook["url"], json=body, headers=headers).status_code

    assert post(hook["headers"]) == 202
    assert post({**hook["headers"], "X-Fo1-Secret": "0" * 64}) == 401
    assert post({}) == 401
    assert post({"Authorization": f"Bearer {pair.key}"}) == 202


def test_the_commands(pair: Pair, tmp_path: Path) -> None:
    dataset, _ = make_review_dataset(tmp_path, 2)

    def fo1(*arguments: str, expect: int = 0, **more: str) -> tuple[dict[str, Any], str]:
        environment = {**os.environ, "FO1_SERVICE_URL": pair.url, "FO1_API_KEY": pair.key, **more}
        command = [sys.executable, "-m", "fo1_data.cli.main", "review", *arguments, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert done.returncode == expect, done.stderr
        return (json.loads(done.stdout) if done.stdout else {}), done.stderr

    assert "fo1 review push" in fo1("status", str(dataset), expect=2)[1]
    pushed, _ = fo1("push", str(dataset))
    assert pushed["items"] == {"total": 2, "sent": 2}
    task = pair.tasks(pushed["project_id"])[0]
    pair.annotate(task["id"], task["predictions"][0]["result"])
    assert fo1("pull", str(dataset))[0]["annotations"] == {"submitted": 1}
    assert fo1("status", str(dataset))[0]["reviewed"] == 1
    assert "FO1_API_KEY" in fo1("status", str(dataset), expect=2, FO1_API_KEY="fo1_wrong")[1]
    assert "does not answer" in fo1("pull", str(dataset), expect=1, FO1_SERVICE_URL="http://127.0.0.1:9")[1]
