"""A simulated reviewer in a real Label Studio: opens each LsTask, corrects the captions, submits.

Talks to Label Studio's own API as its browser page does, and to the service's for what came of it. Their
addresses and keys are what `make label-studio` and `make serve` print: FO1_LABEL_STUDIO_URL,
FO1_LABEL_STUDIO_TOKEN, FO1_SERVICE_URL, FO1_API_KEY.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

NEEDED = ("FO1_LABEL_STUDIO_URL", "FO1_LABEL_STUDIO_TOKEN", "FO1_SERVICE_URL", "FO1_API_KEY")
PAGE = 100
TIMEOUT_S = 60.0
_TEXT = "brief_caption"


class Reviewer:
    """Someone who knows what every box is called: `names` by region id."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        token = os.environ["FO1_LABEL_STUDIO_TOKEN"]
        self._http = httpx.Client(
            base_url=os.environ["FO1_LABEL_STUDIO_URL"],
            headers={"Authorization": f"Token {token}"},
            timeout=TIMEOUT_S,
        )

    def annotate(self, project_id: int) -> dict[str, Any]:
        """Submit an annotation of every LsTask that has none; how many, and how many texts were shown."""
        told = {"annotated": 0, "texts": 0, "changed": 0}
        for task in list(self._tasks(project_id)):
            if task["total_annotations"]:
                continue
            result = task["predictions"][0]["result"]
            for one in result:
                if one["from_name"] == _TEXT:
                    name = self._names[one["id"]]
                    told["texts"] += 1
                    if one["value"]["text"] != [name]:
                        one["value"]["text"] = [name]
                        told["changed"] += 1
            answer = self._http.post(f"/api/tasks/{task['id']}/annotations/", json={"result": result})
            answer.raise_for_status()
            told["annotated"] += 1
        return told

    def _tasks(self, project_id: int) -> Iterator[dict[str, Any]]:
        seen, page = 0, 1
        while True:
            query: dict[str, str | int] = {
                "project": project_id, "fields": "all", "page": page, "page_size": PAGE
            }  # fmt: skip
            found = self._http.get("/api/tasks", params=query).raise_for_status().json()
            yield from found["tasks"]
            seen, page = seen + len(found["tasks"]), page + 1
            if seen >= found["total"] or not found["tasks"]:
                return


def corrections_of(review_id: str) -> list[dict[str, Any]]:
    """What the service says came of a review: its corrections about captions."""
    headers = {"Authorization": f"Bearer {os.environ['FO1_API_KEY']}"}
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    with httpx.Client(base_url=os.environ["FO1_SERVICE_URL"], headers=headers, timeout=TIMEOUT_S) as service:
        while True:
            query: dict[str, str | int] = {"limit": PAGE, **({"cursor": cursor} if cursor else {})}
            answer = service.get(f"/v1/reviews/{review_id}/corrections", params=query)
            page = answer.raise_for_status().json()
            found += [
                {key: value for key, value in one.items() if value is not None} for one in page["items"]
            ]
            cursor = page["next_cursor"]
            if cursor is None:
                return [one for one in found if one.get("kind") == _TEXT]
