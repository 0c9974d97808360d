#!/usr/bin/env bash
# huggingface_hub 2.4.0: a private repository is asked for by another word than before.
#
# `create_repo(..., private=True)` sends `"visibility": "private"` and no `private`, which clients before 2 sent. A mirror or
# proxy of a company that reads `private` alone takes such a repository for a public one, with status 200 and without a word.
#
# Output seen: 0.36.0: {"private": true}. 2.4.0: {"visibility": "private"}.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
install() {  # into the temporary folder, with uv if there is one
    if command -v uv > /dev/null; then
        uv venv --quiet "$folder/env" && uv pip install --quiet --python "$folder/env/bin/python" "$@"
    else
        python3 -m venv "$folder/env" && "$folder/env/bin/python" -m pip install --quiet "$@"
    fi
}
cat > "$folder/program.py" <<'PROGRAM'
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

bodies = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        answer = json.dumps({"url": f"http://127.0.0.1:{self.server.server_port}/team/model"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
import huggingface_hub  # noqa: E402

huggingface_hub.HfApi(token="hf_x").create_repo("team/model", private=True)
said = {key: value for key, value in bodies[-1].items() if key in ("private", "visibility")}
print(f"{huggingface_hub.__version__}: {json.dumps(said)}")
PROGRAM
for version in 0.36.0 2.4.0; do
    rm -rf "$folder/env"
    install "huggingface_hub==$version"
    "$folder/env/bin/python" "$folder/program.py" | tee -a "$folder/seen"
done
grep -qx '0.36.0: {"private": true}' "$folder/seen"
grep -qx '2.4.0: {"visibility": "private"}' "$folder/seen"
echo "as described: huggingface_hub 0.36.0 and 2.4.0"
