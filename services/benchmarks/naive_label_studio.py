"""The naive baseline: one label-studio-sdk call per task. Runs in Label Studio's own Python environment.

Reads one JSON document (`url`, `token`, `project`, and `tasks` or `ids`) from standard input; prints seconds.
"""

import json
import sys
import time

from label_studio_sdk.client import LabelStudio


def main() -> None:
    """Push `tasks` one by one with their predictions, or read the annotations of `ids` one by one."""
    request = json.load(sys.stdin)
    client = LabelStudio(base_url=request["url"], api_key=request["token"])
    client.projects.get(id=request["project"])
    begin = time.perf_counter()
    for ls_task in request.get("tasks", []):
        task = client.tasks.create(project=request["project"], data=ls_task["data"])
        client.predictions.create(task=task.id, **ls_task["predictions"][0])
    for task_id in request.get("ids", []):
        client.annotations.list(id=task_id)
    print(json.dumps({"seconds": time.perf_counter() - begin}))


if __name__ == "__main__":
    main()
