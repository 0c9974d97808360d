"""Client of Ray's job API over HTTP: submit a driver, read its state and log, stop it. Async, without Ray.

If Ray does not answer, or answers with an error of its own (a refused token, too many requests), this raises
`RayUnreachable`: the job may go on meanwhile.
"""

import hashlib
import io
import shlex
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from fo1_data.errors import ClusterError
from services.jobs.run_settings import to_toml

_TIMEOUT_S = 30.0
# Part of Ray's message while the agent that starts drivers is still starting itself.
_NOT_READY = "try again later"
_STATUSES = ("PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED")
SETTINGS_FILE = "run.toml"
_PACKAGE_TIME = (1980, 1, 1, 0, 0, 0)  # the first that a zip file can hold: equal contents, equal bytes


class RayUnreachable(ClusterError):
    """Ray's job API does not answer the request."""


@dataclass(frozen=True)
class DriverState:
    """The state of a driver in Ray: `PENDING`, `RUNNING`, `STOPPED`, `SUCCEEDED`, `FAILED`."""

    status: str
    message: str


def driver_command(python: str) -> str:
    """Return the shell command that labels with the settings in SETTINGS_FILE of its working folder."""
    return f"{shlex.quote(python)} -m fo1_data.cli.main label --config {SETTINGS_FILE} --json"


def driver_files(settings: dict[str, Any]) -> dict[str, bytes]:
    """Return the files of a driver's working folder: its settings, however long they are."""
    return {SETTINGS_FILE: to_toml(settings).encode()}


@dataclass(frozen=True)
class NodeUse:
    """How busy a node is: CPU in percent, memory in bytes, each GPU in words."""

    name: str
    cpu_percent: float
    memory_used: int
    memory_total: int
    gpus: list[str]


@dataclass(frozen=True)
class ClusterUse:
    """`workers`: number of a driver's actors by Ray's state of them. `nodes`: of the whole cluster."""

    workers: dict[str, int]
    nodes: list[NodeUse]


class RayJobs:
    """The job API at `address` (http://host:port of Ray's dashboard), with the cluster's token."""

    def __init__(
        self, address: str, token: str | None = None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.address = address
        self._client = httpx.AsyncClient(
            base_url=address, headers=headers, timeout=_TIMEOUT_S, transport=transport, trust_env=False
        )

    async def submit(
        self,
        submission_id: str,
        command: str,
        environment: dict[str, str],
        metadata: dict[str, str],
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        """Start a driver. Does nothing if a driver with this id exists.

        `files`: what its working folder holds, by name; Ray carries them to the node. Raises ClusterError if
        Ray refuses the driver, RayUnreachable if Ray does not answer.
        """
        runtime: dict[str, Any] = {"env_vars": environment}
        if files:
            runtime["working_dir"] = await self._upload(files)
        body = {
            "entrypoint": command,
            "submission_id": submission_id,
            "runtime_env": runtime,
            "metadata": metadata,
        }
        answer = await self._request("POST", "/api/jobs/", json=body)
        if answer.status_code >= 400 and await self.find(submission_id) is None:
            if _NOT_READY in answer.text or answer.status_code >= 500:
                raise RayUnreachable(f"Ray at {self.address} is not ready: {_reason(answer)}")
            raise ClusterError(f"Ray refused the driver: {_reason(answer)}")

    async def _upload(self, files: Mapping[str, bytes]) -> str:
        """Store the files in the cluster and return their URI, which their contents decide."""
        package = _zip(files)
        name = f"_ray_pkg_{hashlib.sha256(package).hexdigest()[:40]}.zip"
        answer = await self._request("PUT", f"/api/packages/gcs/{name}", content=package)
        if answer.status_code >= 400:
            raise RayUnreachable(f"Ray at {self.address} does not take the settings: {_reason(answer)}")
        return f"gcs://{name}"

    async def find(self, submission_id: str) -> DriverState | None:
        """Return the state of a driver, or None if Ray knows no driver with this id."""
        answer = await self._request("GET", f"/api/jobs/{quote(submission_id, safe='')}")
        if answer.status_code == 404:
            return None
        self._check(answer)
        try:
            document = answer.json()
            status, message = document["status"], document.get("message")
        except (ValueError, TypeError, KeyError, AttributeError):
            status = message = None
        if status not in _STATUSES:
            raise RayUnreachable(f"the answer of Ray's job API at {self.address} cannot be understood")
        return DriverState(status, str(message or ""))

    async def stop(self, submission_id: str) -> None:
        """Ask a driver to end; its actors end with it. It is no error if it is unknown or has ended."""
        answer = await self._request("POST", f"/api/jobs/{quote(submission_id, safe='')}/stop")
        if answer.status_code not in (400, 404):
            self._check(answer)

    async def log_tail(self, submission_id: str, max_lines: int = 40) -> list[str]:
        """Return the last lines of a driver's log; empty if it cannot be read."""
        try:
            answer = await self._request("GET", f"/api/jobs/{quote(submission_id, safe='')}/logs")
            text = str(answer.json().get("logs") or "") if answer.status_code == 200 else ""
        except (RayUnreachable, ValueError):
            return []
        return [line for line in text.splitlines() if line.strip()][-max_lines:]

    async def node_resources(self) -> list[dict[str, float]] | None:
        """Return the total resources of each live node, or None if Ray does not say."""
        try:
            answer = await self._request("GET", "/api/v0/nodes?detail=1")
            rows = answer.json()["data"]["result"]["result"]
            return [row["resources_total"] for row in rows if row.get("state") == "ALIVE"]
        except (RayUnreachable, ValueError, KeyError, TypeError):
            return None

    async def use_by(self, submission_id: str) -> ClusterUse | None:
        """Return the driver's actors, and how busy the nodes are; None if Ray does not say."""
        try:
            driver = (await self._request("GET", f"/api/jobs/{quote(submission_id, safe='')}")).json()
            actors = await self._actors_of((driver.get("driver_info") or {}).get("id"))
            nodes = (await self._request("GET", "/nodes?view=summary")).json()["data"]["summary"]
            return ClusterUse(actors, [_node_use(node) for node in nodes if node.get("mem")])
        except (RayUnreachable, ValueError, KeyError, TypeError, AttributeError):
            return None

    async def _actors_of(self, ray_job_id: str | None) -> dict[str, int]:
        if ray_job_id is None:
            return {}
        filters = {"filter_keys": "job_id", "filter_predicates": "=", "filter_values": ray_job_id}
        answer = await self._request("GET", "/api/v0/actors", params={**filters, "limit": 10_000})
        rows = answer.json()["data"]["result"]["result"]
        return dict(sorted(Counter(str(row["state"]) for row in rows).items()))

    async def answers(self) -> bool:
        """Return whether the job API is up."""
        try:
            return (await self._request("GET", "/api/version")).status_code < 500
        except RayUnreachable:
            return False

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, **arguments)
        except httpx.HTTPError as error:
            raise RayUnreachable(
                f"Ray's job API at {self.address} does not answer ({type(error).__name__})"
            ) from None
        if answer.status_code in (401, 403):
            raise RayUnreachable(
                f"Ray at {self.address} refuses our token: set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
            )
        if answer.status_code in (408, 429, 502, 503, 504):
            raise RayUnreachable(f"Ray's job API at {self.address} answers {answer.status_code}")
        return answer

    def _check(self, answer: httpx.Response) -> None:
        if answer.status_code >= 300:
            raise RayUnreachable(f"Ray's job API answers {answer.status_code}: {_reason(answer)}")


def _node_use(node: dict[str, Any]) -> NodeUse:
    total, available = node["mem"][:2]
    return NodeUse(
        name=str(node.get("hostname") or node.get("ip")),
        cpu_percent=float(node.get("cpu") or 0.0),
        memory_used=int(total - available),
        memory_total=int(total),
        gpus=[_gpu_use(gpu) for gpu in node.get("gpus") or []],
    )


def _gpu_use(gpu: dict[str, Any]) -> str:
    used, total = gpu.get("memoryUsed"), gpu.get("memoryTotal")
    memory = f", {used / 1024:.1f} of {total / 1024:.1f} GiB" if used is not None and total else ""
    busy = gpu.get("utilizationGpu")
    return f"{gpu.get('name', 'GPU')}: {'?' if busy is None else busy} %{memory}"


def _reason(answer: httpx.Response) -> str:
    lines = [line.strip() for line in answer.text.splitlines() if line.strip()]
    return (lines[-1] if lines else "no reason given")[:300]


def _zip(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in files.items():
            package.writestr(zipfile.ZipInfo(name, _PACKAGE_TIME), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()
