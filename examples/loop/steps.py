"""Steps of a run, each a public command that runs once: a step whose result exists is skipped.

The result of a step is the JSON that its command printed. It is stored in `steps/NAME.json` with the seconds
it took and its arguments (files by their digests). If a step was run with other arguments before, it is
refused, so that no run mixes the settings of two. The output of an interrupted step is removed before the
step runs again, except for `fo1 label` and the trainings, which resume.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

FO1 = Path(sys.executable).with_name("fo1")
_RESUMING = ("label", "train", "train-detector")


class StepError(RuntimeError):
    """A command failed (the message has its last lines), or was run with other arguments before."""


class Steps:
    """The steps of one folder. `say` is called with the name and the seconds of each step that ran."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self._say = folder, say
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        # Without stored bytecode every command would spend half a minute on compiling modules.
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        (folder / "steps").mkdir(parents=True, exist_ok=True)

    def run(self, name: str, *arguments: str | Path | float, out: Path | None = None) -> dict[str, Any]:
        """Runs `fo1 ARGUMENTS [--out OUT] --json` and returns its JSON, or the stored result of that call."""

        words = [str(word.resolve()) if isinstance(word, Path) else str(word) for word in arguments]

        def command() -> dict[str, Any]:
            if out is None:
                return self._fo1(words)
            if words[0] not in _RESUMING:
                shutil.rmtree(out, ignore_errors=True) if out.is_dir() else out.unlink(missing_ok=True)
            return self._fo1([*words, "--out", str(out)])

        return self.once(name, command, [*words, *map(_digest, arguments)])

    def once(
        self, name: str, make: Callable[[], dict[str, Any]], arguments: Sequence[str | float] = ()
    ) -> dict[str, Any]:
        """The result of `make`, stored under `name`; later calls, also of other processes, return it.

        Raises StepError if the step was run with other `arguments` before.
        """
        path = self.folder / "steps" / f"{name}.json"
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self._once(path, make, list(arguments))

    def _once(
        self, path: Path, make: Callable[[], dict[str, Any]], arguments: list[str | float]
    ) -> dict[str, Any]:
        if path.exists():
            stored = json.loads(path.read_text("utf-8"))
            if stored["arguments"] != arguments:
                raise StepError(
                    f"{path} was made with {stored['arguments']}, not with {arguments}: name a new OUT"
                )
            stored_result: dict[str, Any] = stored["result"]
            return stored_result
        started_s = time.perf_counter()
        result = make()
        seconds = round(time.perf_counter() - started_s, 1)
        partial = path.with_suffix(".partial")
        document = {"seconds": seconds, "arguments": arguments, "result": result}
        partial.write_text(json.dumps(document), encoding="utf-8")
        partial.replace(path)
        self._say(f"{self.folder.name} {path.stem}: {seconds:.0f} s")
        return result

    def seconds(self) -> float:
        """The wall time of all steps."""
        paths = (self.folder / "steps").glob("*.json")
        return float(sum(json.loads(path.read_text("utf-8"))["seconds"] for path in paths))

    def _fo1(self, words: list[str]) -> dict[str, Any]:
        command = [str(FO1), *words, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment, check=False)
        if done.returncode:
            last_lines = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
            raise StepError(f"{' '.join(command)} failed ({done.returncode}):\n{last_lines}")
        result: dict[str, Any] = json.loads(done.stdout)
        return result


def _digest(argument: str | Path | float) -> str:
    """The start of the SHA-256 of a file; empty for any other argument."""
    is_file = isinstance(argument, Path) and argument.is_file()
    return hashlib.sha256(argument.read_bytes()).hexdigest()[:16] if is_file else ""
