"""The baseline of the round trip: one label-studio-sdk call per task."""

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
from services.label_studio.shown_from_rows import shown_image


def naive_tasks(count: int) -> list[dict[str, Any]]:
    """Return tasks in the form that a push sends."""
    rows = make_rows(count, 3)
    return [ls_task(shown_image(row), row.image_id, "http://127.0.0.1:1/x", "fo1-tiny") for row in rows]


def naive_project(place: Place) -> int:
    """Create an empty project to import into; return its id."""
    headers = {"Authorization": f"Token {place.token}"}
    body = {"title": "naive", "label_config": CONFIG}
    answer = httpx.post(f"{place.url}/api/projects", json=body, headers=headers, timeout=60)
    return int(answer.raise_for_status().json()["id"])


def naive_seconds(place: Place, **request: Any) -> float:
    """Run the baseline in Label Studio's own Python environment; return its seconds."""
    code = Path(__file__).with_name("naive_label_studio.py")
    document = json.dumps({"url": place.url, "token": place.token, **request})
    command = [str(install().with_name("python")), str(code)]
    result = subprocess.run(command, input=document, capture_output=True, text=True, check=True)
    return float(json.loads(result.stdout.splitlines()[-1])["seconds"])
