"""Ray's job API over HTTP: submit a driver, ask after it, stop it, read its log. Async, without Ray itself.

Ray that does not answer, or answers something else than was asked for (an error of its own, a refused
token, too many requests), is `RayUnreachable`: a job may go on without our hearing of it.
"""

import shlex
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from fo1_data.errors import ClusterError
from services.jobs.run_settings import to_toml

_TIMEOUT_S = 30.0
# What Ray says while the agent that starts drivers is still starting itself.
_NOT_YET = "try again later"
_STATUSES = ("PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED")
_END_OF_SETTINGS = "END_OF_RUN_SETTINGS"


class RayUnreachable(ClusterError):
    """Ray's job API gives no answer to what was asked."""


@dataclass(frozen=True)
class DriverState:
    """Ray's word on a driver: `PENDING`, `RUNNING`, `STOPPED`, `SUCCEEDED`, `FAILED`."""

    status: str
    message: str


def driver_command(python: str, settings: dict[str, Any]) -> str:
    """The shell command that labels with `settings`, which travel within it: no shared disk is needed."""
    command = f"{shlex.quote(python)} -m fo1_data.cli.main label --config /dev/stdin --json"
    return f"{command} <<'{_END_OF_SETTINGS}'\n{to_toml(settings)}{_END_OF_SETTINGS}\n"


class RayJobs:
    """The job API at `address` (http://host:port of the dashboard), and the cluster's token."""

    def __init__(
        self, address: str, token: str | None = None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.address = address
        self._client = httpx.AsyncClient(
            base_url=address, headers=headers, timeout=_TIMEOUT_S, transport=transport, trust_env=False
        )

    async def submit(
        self, submission_id: str, command: str, environment: dict[str, str], metadata: dict[str, str]
    ) -> None:
        """Start a driver; one that was started under this id before is left alone.

        Raises ClusterError where Ray says that it cannot be, RayUnreachable where Ray says nothing of it.
        """
        body = {
            "entrypoint": command,
            "submission_id": submission_id,
            "runtime_env": {"env_vars": environment},
            "metadata": metadata,
        }
        answer = await self._ask("POST", "/api/jobs/", json=body)
        if answer.status_code >= 400 and await self.find(submission_id) is None:
            if _NOT_YET in answer.text or answer.status_code >= 500:
                raise RayUnreachable(f"Ray at {self.address} is not ready: {_why(answer)}")
            raise ClusterError(f"Ray refused the driver: {_why(answer)}")

    async def find(self, submission_id: str) -> DriverState | None:
        """Ray's word on a driver; None where it knows none of that id."""
        answer = await self._ask("GET", f"/api/jobs/{quote(submission_id, safe='')}")
        if answer.status_code == 404:
            return None
        self._must(answer)
        try:
            told = answer.json()
            status, message = told["status"], told.get("message")
        except (ValueError, TypeError, KeyError, AttributeError):
            status = message = None
        if status not in _STATUSES:
            raise RayUnreachable(f"Ray's job API at {self.address} answers in a form that is not Ray's")
        return DriverState(status, str(message or ""))

    async def stop(self, submission_id: str) -> None:
        """Ask a driver to end; its actors end with it. One that is unknown or over is no error."""
        answer = await self._ask("POST", f"/api/jobs/{quote(submission_id, safe='')}/stop")
        if answer.status_code not in (400, 404):
            self._must(answer)

    async def log_tail(self, submission_id: str, most_lines: int = 40) -> list[str]:
        """The last lines a driver wrote; empty where they cannot be had."""
        try:
            answer = await self._ask("GET", f"/api/jobs/{quote(submission_id, safe='')}/logs")
            text = str(answer.json().get("logs") or "") if answer.status_code == 200 else ""
        except (RayUnreachable, ValueError):
            return []
        return [line for line in text.splitlines() if line.strip()][-most_lines:]

    async def node_resources(self) -> list[dict[str, float]] | None:
        """What each live node has in all; None where that is not told (then it is not checked)."""
        try:
            answer = await self._ask("GET", "/api/v0/nodes?detail=1")
            rows = answer.json()["data"]["result"]["result"]
            return [row["resources_total"] for row in rows if row.get("state") == "ALIVE"]
        except (RayUnreachable, ValueError, KeyError, TypeError):
            return None

    async def answers(self) -> bool:
        """Whether the job API is up."""
        try:
            return (await self._ask("GET", "/api/version")).status_code < 500
        except RayUnreachable:
            return False

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, **more)
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

    def _must(self, answer: httpx.Response) -> None:
        if answer.status_code >= 300:
            raise RayUnreachable(f"Ray's job API answers {answer.status_code}: {_why(answer)}")


def _why(answer: httpx.Response) -> str:
    lines = [line.strip() for line in answer.text.splitlines() if line.strip()]
    return (lines[-1] if lines else "no reason given")[:300]
