"""Starts a real Label Studio on loopback, in its own virtual environment: for trying it out, and for tests.

`make label-studio` runs this file. The pinned version is installed once under a cache folder
(`FO1_CACHE_DIR`, else the user's cache); its data (SQLite, media) are in a separate folder. It starts
headless, with an admin, a token for API clients, webhooks and ML backends on loopback allowed, and without
calls to the network. Times in seconds. The only request this file sends is the health check. The first start
of a data folder applies hundreds of migrations, for minutes on a busy machine: it may last while they go on.
"""

import argparse
import http.client
import os
import random
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from fo1_data.errors import RunError, UsageError
from fo1_data.home_folders import folder_below_home

VERSION = "1.23.2"
DEFAULT_PORT = 8089
OWN_PORTS = range(20_000, 32_000)
USERNAME = "admin@localhost.local"
START_TIMEOUT_S = 300.0
NOTE_EVERY_S = 5.0
DATABASE = "label_studio.sqlite3"
_PROGRAM = Path("bin", "label-studio")
INSTALL_TIMEOUT_S = 1200.0


@dataclass(frozen=True)
class LabelStudioServer:
    """A running server. `token`: for the header `Authorization: Token ...`."""

    url: str
    username: str
    password: str
    token: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self, timeout_s: float = 20.0) -> None:
        """End the server and wait for it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def cache_folder() -> Path:
    """Return the folder of Label Studio's virtual environment."""
    chosen = os.environ.get("FO1_CACHE_DIR")
    base = Path(chosen) if chosen else folder_below_home("XDG_CACHE_HOME", ".cache") / "fo1-data"
    return base / f"label-studio-{VERSION}-py{sys.version_info.major}.{sys.version_info.minor}"


def is_installed() -> bool:
    """Return whether Label Studio's virtual environment is whole."""
    return (cache_folder() / ".complete").exists() and (cache_folder() / _PROGRAM).exists()


def install() -> Path:
    """Return the program `label-studio`, installed first if absent. Raises RunError if that fails."""
    folder = cache_folder()
    program = folder / _PROGRAM
    if is_installed():
        return program
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    package = f"label-studio=={VERSION}"
    if uv:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), package])
    else:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", package])
    (folder / ".complete").touch()
    return program


def _run(command: list[str]) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=INSTALL_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RunError(f"Label Studio {VERSION} cannot be installed: {error}") from None
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines() or ["no message"]
        raise RunError(f"Label Studio {VERSION} cannot be installed: {lines[-1][:300]}")


def server_environment(data: Path, username: str, password: str, token: str) -> dict[str, str]:
    """Return the environment in which Label Studio starts headless and makes no calls to the network."""
    inherited = {
        key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "TMPDIR", "TZ")
    }
    return inherited | {
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        "DJANGO_DB": "sqlite",
        "LABEL_STUDIO_USERNAME": username,
        "LABEL_STUDIO_PASSWORD": password,
        "LABEL_STUDIO_USER_TOKEN": token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "SSRF_PROTECTION_ENABLED": "false",
        "ML_BLOCK_LOCAL_IP": "false",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }


def start(
    data: Path,
    port: int = 0,
    token: str | None = None,
    password: str | None = None,
    timeout_s: float = START_TIMEOUT_S,
    more_environment: Mapping[str, str] | None = None,
    note: Callable[[str], None] = lambda message: None,
) -> LabelStudioServer:
    """Start Label Studio on loopback with its data in `data` and wait until it answers.

    The first start of a data folder creates the admin. Port 0: any free port. `note` is told how far the
    migrations are. Raises RunError if it ends (with the last line of its log), or if for `timeout_s` it
    neither answers nor applies a migration.
    """
    program = install()
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    port = port or _free_port()
    token, password = token or secrets.token_hex(20), password or secrets.token_urlsafe(12)
    url = f"http://127.0.0.1:{port}"
    log = data / "server.log"
    command = [str(program), "start", "--no-browser", "--internal-host", "127.0.0.1"]
    command += ["--port", str(port), "--host", url]
    environment = server_environment(data, USERNAME, password, token) | dict(more_environment or {})
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
            umask=0o077,
        )
    server = LabelStudioServer(url, USERNAME, password, token, process, log)
    try:
        await_health(server, data / DATABASE, timeout_s, note)
    except BaseException:
        server.stop()
        raise
    return server


def is_up(url: str) -> bool:
    """Return whether Label Studio answers at `url`."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2.0) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return False


def await_health(
    server: LabelStudioServer, database: Path, timeout_s: float, note: Callable[[str], None]
) -> None:
    """Wait until the server answers; see `start`. `database`: its SQLite file, which may not exist yet."""
    started_s = progress_s = noted_s = time.monotonic()
    applied = 0
    while not is_up(server.url):
        if server.process.poll() is not None:
            raise RunError(f"Label Studio ended while starting: {_last_line(server.log)} ({server.log})")
        now_s = time.monotonic()
        count, last = _applied_migrations(database)
        if count > applied:
            applied, progress_s = count, now_s
            if now_s - noted_s >= NOTE_EVERY_S:
                noted_s = now_s
                note(f"{count} migrations applied in {now_s - started_s:.0f} s, the last is {last}")
        if now_s - progress_s > timeout_s:
            raise RunError(
                f"Label Studio has neither answered nor applied a migration for {timeout_s:.0f} s "
                f"({applied} are applied): see {server.log}"
            )
        time.sleep(0.25)


def _applied_migrations(database: Path) -> tuple[int, str]:
    """Return the number of migrations that are applied, and the last of them."""
    query = "SELECT count(*), (SELECT app || '.' || name FROM django_migrations ORDER BY id DESC LIMIT 1)"
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(database))}?mode=ro", uri=True, timeout=0.1)
        ) as reader:
            count, last = reader.execute(f"{query} FROM django_migrations").fetchone()
    except sqlite3.Error:  # not there yet, or being written
        return 0, ""
    return int(count), str(last)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "without a message"


def _free_port() -> int:
    """A free port below those that the kernel gives to others while the migrations are applied."""
    for port in random.sample(OWN_PORTS, len(OWN_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RunError(f"no port from {OWN_PORTS.start} to {OWN_PORTS.stop - 1} is free: name one (--port)")


def main() -> None:
    """Run in the foreground until interrupted; prints the address, the admin and the token."""
    parser = argparse.ArgumentParser(prog="make label-studio", description="A Label Studio on loopback.")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    parser.add_argument("--data", type=Path, default=None, help="its database and files; default: FO1_HOME")
    arguments = parser.parse_args()
    try:
        _serve(arguments.port, arguments.data or _home() / "label-studio")
    except (RunError, UsageError) as error:
        print(f"label-studio: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _home() -> Path:
    from services.settings import load_settings

    return load_settings().home


def _serve(port: int, data: Path) -> None:
    token = _stored_secret(data / "token", secrets.token_hex(20))
    password = _stored_secret(data / "password", secrets.token_urlsafe(12))
    if not is_installed():
        _note(f"installing {VERSION} into {cache_folder()}, once: this takes minutes")
        install()
    _note(f"starting {VERSION} with its data in {data}")
    server = start(data, port, token, password, note=_note)
    for name in ("url", "username", "password", "token"):
        print(f"{name:10}{getattr(server, name)}")
    print(f"\nexport FO1_LABEL_STUDIO_URL={server.url} FO1_LABEL_STUDIO_TOKEN={server.token}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.process.wait()
    except KeyboardInterrupt:
        _note("stopping")
    finally:
        server.stop()


def _note(message: str) -> None:
    print(f"label-studio: {message}", file=sys.stderr, flush=True)


def _stored_secret(path: Path, new_secret: str) -> str:
    """Return the content of the file; if absent, write `new_secret` into it first."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(new_secret)
    return path.read_text().strip()


if __name__ == "__main__":
    main()
