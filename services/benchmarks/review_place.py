"""The place of a measurement: a home of the service, and a Label Studio, running or started for it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.label_studio.server import start
from services.settings import Settings


@dataclass(frozen=True)
class Place:
    """The service's home, and address and token of its Label Studio."""

    home: Path
    url: str
    token: str

    def settings(self) -> Settings:
        """Return the settings of the service."""
        return Settings(
            home=self.home,
            label_studio_url=self.url,
            label_studio_token=self.token,  # type: ignore[arg-type]
            secret_key="a secret for measurements",  # type: ignore[arg-type]
            review_pull_every_s=0.5,
        )


class StartedServer:
    """A Label Studio started for the measurement, which can be killed and started again on its data."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "label-studio"
        self.running = start(self._data)

    def kill_and_start(self) -> None:
        """Kill the server without warning, and start it again on the same port."""
        os.killpg(self.running.process.pid, signal.SIGKILL)
        self.running.process.wait()
        port = int(self.running.url.rpartition(":")[2])
        self.running = start(self._data, port, self.running.token, self.running.password)


@contextmanager
def label_studio(
    url: str | None, token: str | None, folder: Path
) -> Iterator[tuple[tuple[str, str], StartedServer | None]]:
    """Yield address and token of a Label Studio: the given one, else one started for the block."""
    if url is not None and token is not None:
        yield (url, token), None
        return
    server = StartedServer(folder)
    try:
        yield (server.running.url, server.running.token), server
    finally:
        server.running.stop()
