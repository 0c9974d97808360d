"""Schemathesis against a fresh service: `python tests/services/fuzz_service.py --max-examples 50`.

What it finds is printed with the request that shows it; the exit code is Schemathesis' own. It leaves
nothing behind: the service's home is a temporary folder.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

WITHIN_S = 120
_COMMAND = ["--checks", "all", "--workers", "1", "--no-color"]


@dataclass(frozen=True)
class FuzzedService:
    """The address and an admin key of the service to fuzz."""

    url: str
    key: str

    def command(self, *options: str) -> list[str]:
        """Return the command that runs Schemathesis on the service."""
        program = str(Path(sys.executable).parent / "schemathesis")
        key = f"Authorization: Bearer {self.key}"
        return [
            "env",
            "SCHEMATHESIS_HOOKS=fuzz_hooks",
            f"PYTHONPATH={_python_path()}",
            program,
            "run",
            f"{self.url}/openapi.json",
            *_COMMAND,
            "-H",
            key,
            *options,
        ]


def _python_path() -> str:
    folder = str(Path(__file__).resolve().parent)
    return os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])


@contextmanager
def fuzzed_service(folder: Path) -> Iterator[FuzzedService]:
    """Run a service of its own, without Ray, in `folder`; its log goes to `folder/log`."""
    (folder / "root").mkdir()
    environment = {
        **os.environ,
        "FO1_HOME": str(folder / "home"),
        "FO1_STORAGE_ROOTS": json.dumps([str(folder / "root")]),
        "FO1_RAY_ADDRESS": "http://127.0.0.1:9",
        "FO1_PREDICT_URL": "",
        "FO1_DATABASE_URL": "",
        "FO1_LABEL_STUDIO_URL": "",
        "FO1_MAX_JOBS": "100000",
    }
    serve = [sys.executable, "-m", "fo1_data.cli.main", "serve", "--port", "0", "--json"]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(serve, env=environment, stdout=subprocess.PIPE, stderr=log, text=True) as service,
    ):
        try:
            assert service.stdout is not None
            start = json.loads(service.stdout.readline())
            deadline_s = time.monotonic() + WITHIN_S
            while time.monotonic() < deadline_s:
                try:
                    httpx.get(f"{start['url']}/healthz").raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            yield FuzzedService(start["url"], start["admin_key"])
        finally:
            service.terminate()


def main(options: list[str]) -> int:
    """Fuzz with the options of `schemathesis run`; also fail if the service wrote a traceback."""
    with tempfile.TemporaryDirectory(prefix="fo1-fuzz-") as folder:
        place = Path(folder)
        with fuzzed_service(place) as service:
            code = subprocess.run(service.command(*options), cwd=place).returncode
        tracebacks = [line for line in (place / "log").read_text().splitlines() if "Traceback" in line]
        if tracebacks:
            print((place / "log").read_text()[-20_000:])
            print(f"the service wrote {len(tracebacks)} tracebacks")
        return code or int(bool(tracebacks))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
