"""A small server on loopback that speaks the Hub's protocol: repositories, uploads, commits, downloads."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_test"
_RESOLVE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")


class HubServer(ThreadingHTTPServer):
    """`files`: of each repository, by path; `objects`: large files by SHA-256; `private`: repositories."""

    # The client opens many connections at once: of those that find no place, each waits for seconds.
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, dict[str, bytes]] = {}
        self.objects: dict[str, bytes] = {}
        self.private: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit_id(self, repo: str) -> str:
        return hashlib.sha1(repr(sorted(self.files[repo].items())).encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    server: HubServer

    def log_message(self, *_: Any) -> None:
        pass

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, document: Any, status: int = 200, data: bytes | None = None, **headers: str) -> None:
        content = json.dumps(document).encode() if data is None else data
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self) -> None:
        body, path = self._body(), self.path.partition("?")[0]
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._answer({"error": "Invalid username or password."}, 401)
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = (
                f"{asked['organization']}/{asked['name']}"
                if asked.get("organization")
                else f"me/{asked['name']}"
            )
            self.server.files.setdefault(name, {})
            if asked.get("private") or asked.get("visibility") == "private":
                self.server.private.add(name)
            return self._answer({"url": f"{self.server.url}/{name}", "name": name})
        if path.endswith("/preupload/main"):
            asked = json.loads(body)["files"]
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in asked
            ]
            return self._answer({"files": modes, "commitOid": "0" * 40})
        if path.endswith("/info/lfs/objects/batch"):
            objects = [
                {**part, "actions": {"upload": {"href": f"{self.server.url}/upload/{part['oid']}"}}}
                for part in json.loads(body)["objects"]
            ]
            return self._answer({"transfer": "basic", "objects": objects})
        if "/commit/" in path:
            repo = path.removeprefix("/api/models/").partition("/commit/")[0]
            self._commit(repo, [json.loads(line) for line in body.splitlines() if line])
            oid = self.server.commit_id(repo)
            return self._answer({"commitOid": oid, "commitUrl": f"{self.server.url}/{repo}/commit/{oid}"})
        return self._answer(
            {"type": "model"} if path == "/api/validate-yaml" else {"error": path},
            200 if path == "/api/validate-yaml" else 404,
        )

    def _commit(self, repo: str, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                self.server.files[repo][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[repo][value["path"]] = self.server.objects[value["oid"]]

    def do_PUT(self) -> None:
        data = self._body()
        self.server.objects[hashlib.sha256(data).hexdigest()] = data
        self._answer({})

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/api/whoami-v2":
            return self._answer({"name": "me", "type": "user"})
        if path.startswith("/api/models/"):
            repo = "/".join(path.split("/")[3:5])
            if repo not in self.server.files:
                return self._answer({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
            if "/tree/" in path:
                tree = [
                    {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for name, data in self.server.files[repo].items()
                ]
                return self._answer(tree)
            files = [{"rfilename": name} for name in self.server.files[repo]]
            return self._answer({"id": repo, "sha": self.server.commit_id(repo), "siblings": files})
        match = _RESOLVE.fullmatch(path)
        data = self.server.files.get(match["repo"], {}).get(match["path"]) if match else None
        if match is None or data is None:
            return self._answer({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound")
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        return self._answer(None, data=data, ETag=etag, X_Repo_Commit=self.server.commit_id(match["repo"]))

    do_HEAD = do_GET


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """A running server."""
    with HubServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
