"""The service's own Ray on this machine, which runs as long as there is work for it.

`actors.head` runs in a session of its own and outlives the service: a driver continues while the service
restarts, and the next process finds Ray by the record under FO1_HOME. It listens on loopback only, requires a
token of its own, and keeps its sockets and logs in a folder of its own: two services with two homes share
nothing.
"""

import asyncio
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from fo1_data.dataset.lease import process_started
from fo1_data.errors import ClusterError
from services.home import make_home, open_private
from services.jobs.ray_jobs import RayJobs

START_WITHIN_S = 300.0
START_TRIES = 3
_POLL_S = 0.25
# Secrets of the service that no driver or labeller needs.
_SECRETS = (
    "FO1_SECRET_KEY",
    "FO1_DATABASE_URL",
    "FO1_LABEL_STUDIO_TOKEN",
    "FO1_PREDICT_TOKEN",
    "FO1_SECOND_OPINION_KEY",
    "FO1_API_KEY",
)
OBJECT_STORE_BYTES = 200 * 2**20
# The path of a Unix socket has at most 107 bytes; Ray adds the session's folder and the socket's name.
_MAX_FOLDER_BYTES = 36


class _EndedEarly(ClusterError):
    """The local Ray ended while it was being started."""


@dataclass(frozen=True)
class LocalRayRecord:
    """Identifies a running local Ray. `process_started`: detects that another process has the id now."""

    pid: int
    process_started: str | None
    address: str
    token: str

    @property
    def is_alive(self) -> bool:
        with suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)  # a child process that ended would stay a zombie
        started = process_started(self.pid)
        return started is not None and started == self.process_started


class LocalRay:
    """The local Ray of the service whose home is `home`."""

    def __init__(self, home: Path) -> None:
        self._record_path = home / "ray.json"
        self._log_path = home / "ray.log"
        self._lock_path = home / "ray.lock"
        self._folder = ray_folder(home)
        self._failure: str | None = None

    @property
    def progress(self) -> str:
        """What the start does, in words."""
        again = f" again; the last start failed: {self._failure}" if self._failure else ""
        return f"Ray starts on this machine{again}"

    def find(self) -> LocalRayRecord | None:
        """Return the running Ray, or None."""
        try:
            record = LocalRayRecord(**json.loads(self._record_path.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return record if record.is_alive else None

    async def ensure(self) -> LocalRayRecord:
        """Return the running Ray; start it if there is none. Raises ClusterError if it does not start.

        A failed start is tried again: on a busy machine Ray's own timeouts can expire.
        """
        self._failure = None
        for _ in range(START_TRIES - 1):
            try:
                return await self._ensure_once()
            except _EndedEarly as error:
                self._failure = str(error)
        return await self._ensure_once()

    async def _ensure_once(self) -> LocalRayRecord:
        record = await asyncio.to_thread(self._find_or_spawn)
        jobs = RayJobs(record.address, record.token)
        try:
            async with asyncio.timeout(START_WITHIN_S):
                while not await jobs.answers():
                    if not record.is_alive:
                        raise _EndedEarly(f"the local Ray ended while starting{self._last_words()}")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise ClusterError(f"the local Ray did not start in time{self._last_words()}") from None
        finally:
            await jobs.close()
        return record

    async def stop(self, within_s: float = 20.0) -> None:
        """Stop the running Ray and everything on it; does nothing if none runs."""
        record = self.find()
        if record is None:
            return
        with suppress(ProcessLookupError):
            os.kill(record.pid, signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while record.is_alive:
                    await asyncio.sleep(_POLL_S)
        if record.is_alive:
            with suppress(ProcessLookupError):
                os.killpg(record.pid, signal.SIGKILL)

    def _last_words(self) -> str:
        """Return the end of Ray's log and where the log is, to end a message with."""
        try:
            lines = [line.strip() for line in self._log_path.read_text(errors="replace").splitlines()]
        except OSError:
            lines = []
        last = next((line for line in reversed(lines) if line), None)
        return f" ({last[:200]}): see {self._log_path}" if last else f": see {self._log_path}"

    def _find_or_spawn(self) -> LocalRayRecord:
        with _locked(self._lock_path):
            return self.find() or self._spawn()

    def _spawn(self) -> LocalRayRecord:
        import subprocess

        _make_private_folder(self._folder)
        _remove_old_sessions(self._folder)
        token, port = secrets.token_hex(32), free_port()
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": token,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE": "1",
            "AUTOSCALER_METRIC_PORT": str(free_port()),
            "DASHBOARD_METRIC_PORT": str(free_port()),
            # Ray would wait 30 s for requests to move to another node.
            "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        }
        for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN_PATH", *_SECRETS):
            environment.pop(name, None)
        with open_private(self._log_path, "ab") as log:
            process = subprocess.Popen(
                _command(self._folder, port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        record = LocalRayRecord(process.pid, process_started(process.pid), f"http://127.0.0.1:{port}", token)
        _write_private(self._record_path, json.dumps(asdict(record)))
        process.returncode = 0  # `is_alive` waits for it
        return record


def ray_folder(home: Path) -> Path:
    """Return the folder of the Ray of a home, which needs a short path for its sockets.

    Ray keeps to a folder in it, because it opens its own to everybody.
    """
    name = f"fo1-ray-{os.getuid()}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:10]}"
    folder = Path(tempfile.gettempdir()) / name
    return folder if len(os.fsencode(folder)) <= _MAX_FOLDER_BYTES else Path("/tmp") / name


def _command(folder: Path, dashboard_port: int) -> list[str]:
    return [
        sys.executable, "-m", "actors.head", "--block",
        "--node-ip-address=127.0.0.1", "--port=0", "--dashboard-host=127.0.0.1",
        f"--dashboard-port={dashboard_port}", "--disable-usage-stats",
        f"--object-store-memory={OBJECT_STORE_BYTES}", f"--temp-dir={folder / 'r'}", "--log-color=false",
        f"--dashboard-agent-listen-port={free_port()}", f"--metrics-export-port={free_port()}",
    ]  # fmt: skip


def _make_private_folder(folder: Path) -> None:
    """Create the folder for this user alone. Raises ClusterError if it is of another user, or a link."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise ClusterError(f"the folder of the local Ray cannot be made: {error}") from None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise ClusterError(f"{folder} belongs to another user: remove it, or set TMPDIR to another folder")
    folder.chmod(0o700)


def _remove_old_sessions(folder: Path) -> None:
    """Remove what Ray has left there, but for the logs of the last time."""
    for session in sorted((folder / "r").glob("session_2*"))[:-1]:
        shutil.rmtree(session, ignore_errors=True)


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _write_private(path: Path, text: str) -> None:
    written = path.with_suffix(".writing")
    with open_private(written, "w") as file:
        file.write(text)
    written.replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    make_home(path.parent)
    with open_private(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
