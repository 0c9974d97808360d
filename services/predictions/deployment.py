"""The Predictor that answers live questions: FO1_PREDICT_URL, else one deployed on the service's local Ray.

The local one is a Ray driver (`python -m actors.serving`), started at the first question. Its port is stored
under FO1_HOME, its token is derived from the service's secret. It ends with that Ray.
"""

import hmac
import json
import shlex
import sys
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from services.home import open_private
from services.jobs.cluster import Cluster
from services.jobs.local_ray import free_port
from services.problems import Problem
from services.settings import Settings

_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_TRIES = 5


@dataclass(frozen=True)
class PredictorPlace:
    """The URL to POST to, and the token to send. `progress`: what it does as long as it does not answer."""

    url: str
    token: str | None
    progress: str = "it does not answer"


class PredictorDeployment:
    """Finds the Predictor, or starts it on the local Ray."""

    def __init__(self, settings: Settings, cluster: Cluster) -> None:
        self._settings, self._cluster = settings, cluster

    async def place(self, wait_s: float | None) -> PredictorPlace:
        """Return where the Predictor is, or will be; `wait_s`: how long to wait for the local Ray.

        Raises a Problem of 503 if there is none, RayUnreachable if Ray is still starting.
        """
        if self._settings.predict_url is not None:
            token = self._settings.predict_token
            return PredictorPlace(
                self._settings.predict_url, token.get_secret_value() if token is not None else None
            )
        if not self._cluster.is_local:
            raise Problem(
                503, "live prediction is not configured: deploy actors.serving and set FO1_PREDICT_URL"
            )
        return await self._local(wait_s)

    async def _local(self, wait_s: float | None) -> PredictorPlace:
        jobs = await self._cluster.jobs(start=True, wait_s=wait_s)
        name = hmac.digest(self._settings.secret, jobs.address.encode(), "sha256").hex()[:12]
        token = hmac.digest(self._settings.secret, f"fo1 predictor {jobs.address}".encode(), "sha256").hex()
        for number in range(_TRIES):
            submission_id = f"fo1-predict-{name}-{number}"
            driver = await jobs.find(submission_id)
            if driver is not None and driver.status in _ENDED:
                continue
            port = stored_port(self._settings.home / f"predict-{name}-{number}.json")
            if driver is None:
                command = [sys.executable, "-m", "actors.serving", "--port", str(port)]
                command += ["--model", self._settings.predict_model]
                command += ["--gpus", str(self._settings.predict_gpus)]
                environment = {"FO1_PREDICT_TOKEN": token}
                await jobs.submit(submission_id, shlex.join(command), environment, {"fo1": "predictor"})
            is_running = driver is not None and driver.status == "RUNNING"
            progress = self._deploying if is_running else "its process starts"
            return PredictorPlace(f"http://127.0.0.1:{port}/predict", token, progress)
        raise Problem(503, "live prediction ended several times: see Ray's log, then restart the service")

    @property
    def _deploying(self) -> str:
        gpus = self._settings.predict_gpus
        return f"Ray Serve deploys it, if {gpus:g} GPU is free" if gpus else "Ray Serve deploys it"


def stored_port(path: Path) -> int:
    """Return the port in a file; if there is no file, or a broken one, write a free port into it.

    The file appears as a whole: whoever reads it at the same moment, or after a kill, finds a port in it.
    """
    try:
        return _port_in(path)
    except (ValueError, KeyError, TypeError):
        path.unlink(missing_ok=True)  # an earlier version was killed while it wrote
    except FileNotFoundError:
        pass
    written = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    with open_private(written, "x") as file:
        json.dump({"port": free_port()}, file)
    try:
        with suppress(FileExistsError):  # another was first
            path.hardlink_to(written)
    finally:
        written.unlink()
    return _port_in(path)


def _port_in(path: Path) -> int:
    return int(json.loads(path.read_text())["port"])
