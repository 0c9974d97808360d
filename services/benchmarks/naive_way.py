"""The way the round trip is compared with: one call of label-studio-sdk a task."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx

from services.benchmarks.made_up_reviews import make_rows
from services.benchmarks.review_place import Place
from services.label_studio.convert import ls_task
from services.label_studio.labelling_config import CONFIG
from services.label_studio.server import install
from services.label_studio.shown import shown_image


def naive_tasks(count: int) -> list[dict[str, Any]]:
    """Tasks as we push them."""
    rows = make_rows(count, 3)
    return [ls_task(shown_image(row), row.image_id, "http://127.0.0.1:1/x", "fo1-tiny") for row in rows]


def naive_project(place: Place) -> int:
    """A fresh project to import into; its id."""
    headers = {"Authorization": f"Token {place.token}"}
    body = {"title": "naive", "label_config": CONFIG}
    answer = httpx.post(f"{place.url}/api/projects", json=body, headers=headers, timeout=60)
    return int(answer.raise_for_status().json()["id"])


def naive_seconds(place: Place, **given: Any) -> float:
    """Seconds of the naive way, by Label Studio's own interpreter."""
    code = Path(__file__).with_name("naive_label_studio.py")
    document = json.dumps({"url": place.url, "token": place.token, **given})
    command = [str(install().with_name("python")), str(code)]
    done = subprocess.run(command, input=document, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])
