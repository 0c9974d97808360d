"""The cluster that jobs run on: that of FO1_RAY_ADDRESS, else the service's own local Ray."""

import asyncio
import os
import sys
import time

from fo1_data.errors import ClusterError
from fo1_data.home_folders import expand_home
from services.jobs.local_ray import LocalRay, LocalRayRecord
from services.jobs.ray_jobs import RayJobs, RayUnreachable
from services.settings import Settings

# A start that ended longer ago says nothing about Ray now.
_START_IS_NEWS_S = 20.0


class Cluster:
    """Connects to the job API of the cluster. One object per application."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._local = LocalRay(settings.home)
        self._jobs: RayJobs | None = None
        self._lock = asyncio.Lock()
        self._starting: asyncio.Task[LocalRayRecord] | None = None
        self._start_ended_s = 0.0

    @property
    def is_local(self) -> bool:
        """Whether jobs run on the service's own local Ray."""
        return self._settings.ray_address is None

    @property
    def python(self) -> str:
        """The Python interpreter of drivers: the service's own if they run on this machine."""
        return sys.executable if self.is_local else "python"

    async def jobs(self, start: bool, wait_s: float | None = None) -> RayJobs:
        """Return the job API. `start`: start the local Ray if it does not run.

        `wait_s`: how long to wait for the start, which goes on afterwards; None: until it has ended.
        Raises RayUnreachable if Ray does not run or answer, ClusterError if the local Ray cannot start.
        """
        if not self.is_local:
            async with self._lock:
                return await self._remote()
        record = await self._started(wait_s) if start else await asyncio.to_thread(self._local.find)
        if record is None:
            raise RayUnreachable("the service's local Ray is not running")
        async with self._lock:
            if self._jobs is None or self._jobs.address != record.address:
                await self._close_jobs()
                self._jobs = RayJobs(record.address, record.token)
            return self._jobs

    async def stop_local(self) -> None:
        """Stop the service's own Ray, if it has one."""
        if self.is_local:
            await self._local.stop()

    async def close(self) -> None:
        """Close the connections. Ray keeps running."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
            self._starting = None
        await self._close_jobs()

    async def _started(self, wait_s: float | None) -> LocalRayRecord:
        """Return the running local Ray. Everybody who asks for it waits for the same start."""
        start = self._starting
        if start is None or (start.done() and time.monotonic() > self._start_ended_s + _START_IS_NEWS_S):
            start = self._starting = asyncio.create_task(self._start())
        await asyncio.wait({start}, timeout=wait_s)
        if not start.done():
            raise RayUnreachable(self._local.progress)
        if self._starting is start:
            self._starting = None
        return start.result()

    async def _start(self) -> LocalRayRecord:
        try:
            return await self._local.ensure()
        finally:
            self._start_ended_s = time.monotonic()

    async def _close_jobs(self) -> None:
        if self._jobs is not None:
            await self._jobs.close()
            self._jobs = None

    async def _remote(self) -> RayJobs:
        if self._jobs is None:
            address = self._settings.ray_address or ""
            if not address.startswith(("http://", "https://")):
                address = await asyncio.to_thread(_dashboard_of, address)
            self._jobs = RayJobs(address, await asyncio.to_thread(_token))
        return self._jobs


def _dashboard_of(address: str) -> str:
    """Return the URL of the job API of a cluster named by its head (`host:6379`, `auto`, `ray://`)."""
    try:
        from ray.job_submission import JobSubmissionClient

        return str(JobSubmissionClient(None if address == "auto" else address).get_address())
    except ImportError:
        raise ClusterError(
            f"FO1_RAY_ADDRESS {address}: without Ray installed here, name the dashboard, http://host:8265"
        ) from None
    except Exception as error:  # Ray raises many types here
        raise RayUnreachable(f"no Ray at {address} ({(str(error).splitlines() or [''])[0][:200]})") from None


def _token() -> str | None:
    """Return the cluster's token, from the places where Ray's own tools look for it."""
    token = os.environ.get("RAY_AUTH_TOKEN")
    if token:
        return token.strip()
    path = expand_home(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token")
    return path.read_text().strip() if path.is_file() else None
