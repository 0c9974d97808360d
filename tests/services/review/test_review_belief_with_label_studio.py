"""What a real Label Studio does by itself, and what is read of it: set aside, or believed, once each."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Pair
from factories import make_dataset
from review_bench import make_review_dataset, review_rows
from review_samples import edited

from services.label_studio.client import LabelStudio
from services.label_studio.shown_from_rows import shown_image
from services.label_studio.task_lists import KeyedTask

pytestmark = pytest.mark.timeout(600)


def action(pair: Pair, name: str, project: int, ids: list[int] | None = None, **more: Any) -> None:
    """Run an action of Label Studio's data manager, as its menu does."""
    chosen = {"all": True, "excluded": []} if ids is None else {"all": False, "included": ids}
    body = {"selectedItems": chosen, "ordering": [], **more}
    pair.ls.post(f"/api/dm/actions?id={name}&project={project}", json=body).raise_for_status()


def pull(pair: Pair, review: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pair.api.post(f"/v1/reviews/{review['id']}/pull").raise_for_status().json()
    return found


def cli(pair: Pair, *arguments: str) -> str:
    environment = {**os.environ, "FO1_SERVICE_URL": pair.url, "FO1_API_KEY": pair.key}
    command = [sys.executable, "-m", "fo1_data.cli.main", "review", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_people_did_not_say_is_set_aside(pair: Pair, tmp_path: Path) -> None:
    """Blank, in bulk, an unreadable box, a field taken out; begun with the prediction and all deleted."""
    dataset, rows = make_review_dataset(tmp_path, 6)
    review = pair.push(dataset)
    project = review["project_id"]
    tasks = {task["data"]["image_id"]: task for task in pair.tasks(project)}
    blank, bulk, damaged, deleted, before, after = (tasks[row.image_id] for row in rows)

    ids = {"not_begun": pair.annotate(blank["id"], [])}
    action(pair, "predictions_to_annotations", project, [bulk["id"]], model_version=review["model_version"])
    result = damaged["predictions"][0]["result"]
    result[0]["value"]["width"] = "wide"
    ids["partly_read"] = pair.annotate(damaged["id"], result)
    pair.annotate(deleted["id"], [], parent_prediction=deleted["predictions"][0]["id"])
    pair.annotate(before["id"], edited(shown_image(rows[4]), a="in time"))
    pull(pair, review)
    config = pair.ls.get(f"/api/projects/{project}").json()["label_config"]
    renamed = config.replace('name="brief_caption"', 'name="short"')
    pair.ls.patch(f"/api/projects/{project}/", json={"label_config": renamed}).raise_for_status()
    without = [entry for entry in edited(shown_image(rows[5])) if entry["from_name"] != "brief_caption"]
    ids["other_fields"] = pair.annotate(after["id"], without)

    seen = pull(pair, review)
    assert seen["annotations"] == {"submitted": 2, "set_aside": 4}
    assert seen["changed_fields"] == ["brief_caption"]
    aside = {part["kind"]: part for part in seen["set_aside"]}
    assert set(aside) == {*ids, "in_bulk"}
    assert {kind: aside[kind]["ls_annotation_id"] for kind in ids} == ids
    said = {(part["image_id"], part["action"]) for part in pair.corrections(review["id"])}
    assert {image for image, _ in said} == {rows[3].image_id, rows[4].image_id}
    assert (rows[3].image_id, "deleted") in said
    assert pair.ls.get(aside["not_begun"]["url"].removeprefix(pair.label_studio.url)).status_code in (
        200,
        302,
    )

    text = cli(pair, "status", str(dataset))
    assert f"annotation {ids['partly_read']} of {pair.label_studio.username}: a part of it" in text
    assert "fields       changed in the project's settings: brief_caption" in text
    taken = json.loads(cli(pair, "take-in", str(dataset), "--reason", "in_bulk", "--json"))
    assert taken["annotations"] == {"submitted": 3, "set_aside": 3}
    cli(pair, "take-in", str(dataset), "--annotation", str(ids["partly_read"]))
    said = {(part["image_id"], part["action"]) for part in pair.corrections(review["id"])}
    assert {kind for image, kind in said if image == rows[2].image_id} == {"verdict"}


def test_copies_moves_and_deleted_accounts(pair: Pair, tmp_path: Path) -> None:
    """Without webhooks: tasks imported again and annotated, duplicates removed, an account deleted."""
    dataset, rows = make_review_dataset(tmp_path, 2)
    review = pair.push(dataset)
    project = review["project_id"]
    for hook in pair.ls.get("/api/webhooks/", params={"project": project}).json():
        pair.ls.delete(f"/api/webhooks/{hook['id']}/").raise_for_status()
    tasks = {task["data"]["image_id"]: task for task in pair.tasks(project)}
    first, second = (tasks[row.image_id] for row in rows)
    name = f"gone{project}"
    account = {"email": f"{name}@example.org", "username": name, "password": "a-long-password"}
    user = pair.ls.post("/api/users/", json=account).raise_for_status().json()["id"]
    one = pair.annotate(first["id"], edited(shown_image(rows[0]), a="one"), completed_by=user)
    pull(pair, review)

    prediction = {key: first["predictions"][0][key] for key in ("model_version", "result")}
    again = [{"data": first["data"], "predictions": [prediction]}]
    pair.ls.post(f"/api/projects/{project}/import", json=again).raise_for_status()
    copied = max(task["id"] for task in pair.tasks(project))
    two = pair.annotate(copied, edited(shown_image(rows[0]), a="one"))
    assert pull(pair, review)["annotations"] == {"submitted": 2}
    three = pair.annotate(copied, edited(shown_image(rows[0]), a="one"))
    action(pair, "remove_duplicates", project)
    assert [task["id"] for task in pair.tasks(project)] == [first["id"], second["id"]]
    pair.ls.delete(f"/api/users/{user}/").raise_for_status()
    pair.ls.patch(f"/api/annotations/{one}/", json={"lead_time": 9.0}).raise_for_status()

    seen = pull(pair, review)
    assert seen["annotations"] == {"submitted": 3}
    assert seen["items"] == {"total": 2, "sent": 2}
    assert {pull(pair, review)["pulled"][name] for name in ("created", "updated", "deleted")} == {0}
    who = {
        part["annotation_key"].partition("/")[2]: part["annotator"]
        for part in pair.corrections(review["id"], everyone=True)
    }
    admin = pair.label_studio.username
    assert who == {str(one): account["email"], str(two): admin, str(three): admin}


def test_only_tasks_that_the_push_inserted_twice_are_deleted(pair: Pair, tmp_path: Path) -> None:
    """A copy stays, and so does a double in which somebody has begun to work."""
    dataset, rows = make_review_dataset(tmp_path, 2)
    review = pair.push(dataset)
    project = review["project_id"]
    tasks = {task["data"]["image_id"]: task for task in pair.tasks(project)}
    first, second = (tasks[row.image_id] for row in rows)
    pair.annotate(first["id"], edited(shown_image(rows[0]), a="one"))
    pull(pair, review)

    late = {"fo1_request": "an insert that arrived late"}
    copies = [first["data"], first["data"] | late, second["data"] | late]
    pair.ls.post(f"/api/projects/{project}/import", json=[{"data": data} for data in copies])
    copied, _, begun = sorted(task["id"] for task in pair.tasks(project))[-3:]
    draft = {"result": edited(shown_image(rows[1]), a="two"), "lead_time": 2.0}
    pair.ls.post(f"/api/tasks/{begun}/drafts", json=draft).raise_for_status()

    pull(pair, review)
    assert [task["id"] for task in pair.tasks(project)] == [first["id"], second["id"], copied, begun]
    listed = asyncio.run(_all_tasks(pair, project))
    assert [(task.ls_task_id, task.num_annotations, task.num_predictions) for task in listed] == [
        (first["id"], 1, 1),
        (second["id"], 0, 1),
        (copied, 0, 0),
        (begun, 0, 0),
    ]


async def _all_tasks(pair: Pair, project: int) -> list[KeyedTask]:
    async with LabelStudio(pair.label_studio.url, pair.label_studio.token) as client:
        return await client.all_tasks(project)


def test_equal_boxes_come_back_as_two(pair: Pair, tmp_path: Path) -> None:
    (row,) = review_rows(1, tmp_path / "images", 2)
    first, second = row.regions
    equal = {"box_xyxy": first.box_xyxy, "region_id": f"{first.region_id}/2"}
    row = row.model_copy(update={"regions": [first, second.model_copy(update=equal)]})
    make_dataset(tmp_path / "dataset", [row])
    review = pair.push(tmp_path / "dataset")
    (task,) = pair.tasks(review["project_id"])
    prediction = task["predictions"][0]
    pair.annotate(task["id"], prediction["result"], parent_prediction=prediction["id"])
    pair.await_review(review["id"], annotations={"submitted": 1})
    said = [
        (part["action"], part["region_id"], part["right"])
        for part in pair.corrections(review["id"])
        if part.get("kind") == "brief_caption"
    ]
    assert said == [("verdict", first.region_id, True), ("verdict", f"{first.region_id}/2", True)]
