"""The naive way: one call of label-studio-sdk a task. Runs in Label Studio's interpreter, which has the SDK.

Reads one JSON document (`url`, `token`, `project`, `tasks`, or `ids`), prints seconds. Measures only.
"""

import json
import sys
import time

from label_studio_sdk.client import LabelStudio


def main() -> None:
    """Push `tasks` one by one with their predictions, or read the annotations of `ids` one by one."""
    given = json.load(sys.stdin)
    client = LabelStudio(base_url=given["url"], api_key=given["token"])
    client.projects.get(id=given["project"])
    begin = time.perf_counter()
    for one in given.get("tasks", []):
        task = client.tasks.create(project=given["project"], data=one["data"])
        client.predictions.create(task=task.id, **one["predictions"][0])
    for number in given.get("ids", []):
        client.annotations.list(id=number)
    print(json.dumps({"seconds": time.perf_counter() - begin}))


if __name__ == "__main__":
    main()
