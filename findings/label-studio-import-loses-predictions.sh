#!/usr/bin/env bash
# Label Studio 1.23.2 on SQLite (its default): an import that meets a locked database creates the tasks without their
# predictions and annotations, and answers 201. `TaskSerializerBulk.create` takes them out of the tasks' dictionaries
# (`task.pop("predictions")`) and is repeated by `retry_database_locked` with the same dictionaries.
# Here another connection holds the database for 15 seconds, as several people at work do for moments, while one task
# with one prediction is imported. Right: prediction_count 1, or an error. Seen: 201 with prediction_count 0, and the
# task has no prediction. Exits 1 if Label Studio does something else than what is seen here.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $server 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
server=
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet label-studio==1.23.2
token=$(printf 'f%.0s' $(seq 40))
export LABEL_STUDIO_BASE_DATA_DIR="$folder/data" DJANGO_DB=sqlite LABEL_STUDIO_USERNAME=admin@localhost.local
export LABEL_STUDIO_PASSWORD=a-password LABEL_STUDIO_USER_TOKEN="$token" LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN=true
export COLLECT_ANALYTICS=false LATEST_VERSION_CHECK=false SENTRY_DSN= FRONTEND_SENTRY_DSN= TOKEN="$token"
mkdir data
export PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
env/bin/label-studio start --no-browser --internal-host 127.0.0.1 --port "$PORT" > server.log 2>&1 &
server=$!
cat > import.py <<'PY'
import json
import os
import sqlite3
import threading
import time
import urllib.request

url, token = f"http://127.0.0.1:{os.environ['PORT']}", os.environ["TOKEN"]


def ask(path, body=None):
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url + path, data, headers), timeout=120) as answer:
        return answer.status, json.loads(answer.read() or b"null")


end = time.monotonic() + 600
while True:
    try:
        ask("/api/projects")
        break
    except OSError:
        assert time.monotonic() < end, "Label Studio did not start"
        time.sleep(1)
config = """<View><Text name="t" value="$text"/>
<Choices name="c" toName="t"><Choice value="a"/></Choices></View>"""
_, project = ask("/api/projects", {"title": "locked", "label_config": config})
result = [{"id": "r", "from_name": "c", "to_name": "t", "type": "choices", "value": {"choices": ["a"]}}]
task = {"data": {"text": "one"}, "predictions": [{"model_version": "m", "result": result}]}
_, free = ask(f"/api/projects/{project['id']}/import", [task])
other = sqlite3.connect(os.path.join(os.environ["LABEL_STUDIO_BASE_DATA_DIR"], "label_studio.sqlite3"),
                        isolation_level=None, check_same_thread=False)
other.execute("BEGIN IMMEDIATE")
threading.Timer(15, lambda: other.execute("ROLLBACK")).start()
status, locked = ask(f"/api/projects/{project['id']}/import", [task])
seen = (free["prediction_count"], status, locked["task_count"], locked["prediction_count"])
print(f"right: (1, 201, 1, 1), seen: {seen}")
assert seen == (1, 201, 1, 0), "Label Studio has changed"
PY
env/bin/python import.py
