"""Where the round trip is measured: a home of the service, and a Label Studio, running or started for it."""

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
    """Where a measurement happens: the service's home and its Label Studio."""

    home: Path
    url: str
    token: str

    def settings(self) -> Settings:
        """The settings of the service there."""
        return Settings(
            home=self.home,
            label_studio_url=self.url,
            label_studio_token=self.token,  # type: ignore[arg-type]
            secret_key="a secret for measurements",  # type: ignore[arg-type]
            review_pull_every_s=0.5,
        )


class StartedServer:
    """A Label Studio that was started here, and can be killed and started again on its data."""

    def __init__(self, folder: Path) -> None:
        self._data = folder / "label-studio"
        self.running = start(self._data)

    def kill_and_start(self) -> None:
        """No goodbye: what it was doing is cut off."""
        os.killpg(self.running.process.pid, signal.SIGKILL)
        self.running.process.wait()
        port = int(self.running.url.rpartition(":")[2])
        self.running = start(self._data, port, self.running.token, self.running.password)


@contextmanager
def label_studio(
    url: str | None, token: str | None, folder: Path
) -> Iterator[tuple[tuple[str, str], StartedServer | None]]:
    """Address and token of the Label Studio that is given, else of one started for the block."""
    if url is not None and token is not None:
        yield (url, token), None
        return
    server = StartedServer(folder)
    try:
        yield (server.running.url, server.running.token), server
    finally:
        server.running.stop()
