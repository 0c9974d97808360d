"""A simulated reviewer in a real Label Studio: opens each LsTask, corrects the captions and submits.

Uses the API of Label Studio as its web page does, and the API of the service to read the resulting
corrections. `make label-studio` and `make serve` print their addresses and keys: FO1_LABEL_STUDIO_URL,
FO1_LABEL_STUDIO_TOKEN, FO1_SERVICE_URL, FO1_API_KEY.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

REQUIRED_VARIABLES = ("FO1_LABEL_STUDIO_URL", "FO1_LABEL_STUDIO_TOKEN", "FO1_SERVICE_URL", "FO1_API_KEY")
PAGE = 100
TIMEOUT_S = 60.0
_CAPTION = "brief_caption"


class Reviewer:
    """A reviewer who knows the name of every box. `names`: by region id."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        token = os.environ["FO1_LABEL_STUDIO_TOKEN"]
        self._http = httpx.Client(
            base_url=os.environ["FO1_LABEL_STUDIO_URL"],
            headers={"Authorization": f"Token {token}"},
            timeout=TIMEOUT_S,
        )

    def annotate(self, project_id: int) -> dict[str, Any]:
        """Submit an annotation of every LsTask that has none.

        Returns the numbers of annotated LsTasks, of captions in them, and of captions that were changed.
        """
        counts = {"annotated": 0, "texts": 0, "changed": 0}
        for task in list(self._tasks(project_id)):
            if task["total_annotations"]:
                continue
            result = task["predictions"][0]["result"]
            for item in result:
                if item["from_name"] == _CAPTION:
                    name = self._names[item["id"]]
                    counts["texts"] += 1
                    if item["value"]["text"] != [name]:
                        item["value"]["text"] = [name]
                        counts["changed"] += 1
            response = self._http.post(f"/api/tasks/{task['id']}/annotations/", json={"result": result})
            response.raise_for_status()
            counts["annotated"] += 1
        return counts

    def _tasks(self, project_id: int) -> Iterator[dict[str, Any]]:
        num_read, page = 0, 1
        while True:
            query: dict[str, str | int] = {
                "project": project_id, "fields": "all", "page": page, "page_size": PAGE
            }  # fmt: skip
            listing = self._http.get("/api/tasks", params=query).raise_for_status().json()
            yield from listing["tasks"]
            num_read, page = num_read + len(listing["tasks"]), page + 1
            if num_read >= listing["total"] or not listing["tasks"]:
                return


def corrections_of(review_id: str) -> list[dict[str, Any]]:
    """The caption corrections of a review, from the service."""
    headers = {"Authorization": f"Bearer {os.environ['FO1_API_KEY']}"}
    corrections: list[dict[str, Any]] = []
    cursor: str | None = None
    with httpx.Client(base_url=os.environ["FO1_SERVICE_URL"], headers=headers, timeout=TIMEOUT_S) as service:
        while True:
            query: dict[str, str | int] = {"limit": PAGE, **({"cursor": cursor} if cursor else {})}
            response = service.get(f"/v1/reviews/{review_id}/corrections", params=query)
            page = response.raise_for_status().json()
            corrections += [
                {key: value for key, value in item.items() if value is not None} for item in page["items"]
            ]
            cursor = page["next_cursor"]
            if cursor is None:
                return [correction for correction in corrections if correction.get("kind") == _CAPTION]
