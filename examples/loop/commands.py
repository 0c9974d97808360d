"""Public commands of this project, run once each: a step whose result is there already is skipped.

A step's result is the JSON that the command printed, kept as `steps/NAME.json` beside its seconds and its
arguments, files with their digests: asked for with others, it is refused, so that no run is half made of
another one's settings. What a step that was cut off had written is removed before it runs again; `fo1 label`
and `fo1 train` go on.
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
_GO_ON = ("label", "train")


class StepError(RuntimeError):
    """A command failed (the message holds its last lines), or was run before with other arguments."""


class Steps:
    """The steps of one folder. `say` is told the name and seconds of each that ran."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.folder, self._say = folder, say
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        # Without compiled modules every command spends half a minute on compiling them anew.
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)
        (folder / "steps").mkdir(parents=True, exist_ok=True)

    def run(self, name: str, *arguments: str | Path | float, out: Path | None = None) -> dict[str, Any]:
        """`fo1 ARGUMENTS [--out OUT] --json`, or what it printed when it ran before."""

        words = [str(one.resolve()) if isinstance(one, Path) else str(one) for one in arguments]

        def command() -> dict[str, Any]:
            if out is None:
                return self._fo1(words)
            if words[0] not in _GO_ON:
                shutil.rmtree(out, ignore_errors=True) if out.is_dir() else out.unlink(missing_ok=True)
            return self._fo1([*words, "--out", str(out)])

        return self.once(name, command, asked=[*words, *map(_digest, arguments)])

    def once(
        self, name: str, make: Callable[[], dict[str, Any]], asked: Sequence[str | float] = ()
    ) -> dict[str, Any]:
        """What `make` returns, kept under `name`; it is not called again, by another process neither.

        Raises StepError where `name` was made of something else than what is `asked` for.
        """
        kept = self.folder / "steps" / f"{name}.json"
        with kept.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self._once(kept, make, list(asked))

    def _once(
        self, kept: Path, make: Callable[[], dict[str, Any]], asked: list[str | float]
    ) -> dict[str, Any]:
        if kept.exists():
            before = json.loads(kept.read_text("utf-8"))
            if before["asked"] != asked:
                raise StepError(f"{kept} was made of {before['asked']}, not of {asked}: name a new OUT")
            found: dict[str, Any] = before["result"]
            return found
        began = time.perf_counter()
        result = make()
        seconds = round(time.perf_counter() - began, 1)
        partial = kept.with_suffix(".partial")
        document = {"seconds": seconds, "asked": asked, "result": result}
        partial.write_text(json.dumps(document), encoding="utf-8")
        partial.replace(kept)
        self._say(f"{self.folder.name} {kept.stem}: {seconds:.0f} s")
        return result

    def seconds(self) -> float:
        """Wall time of all steps."""
        kept = (self.folder / "steps").glob("*.json")
        return float(sum(json.loads(path.read_text("utf-8"))["seconds"] for path in kept))

    def _fo1(self, words: list[str]) -> dict[str, Any]:
        command = [str(FO1), *words, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment, check=False)
        if done.returncode:
            told = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
            raise StepError(f"{' '.join(command)} failed ({done.returncode}):\n{told}")
        result: dict[str, Any] = json.loads(done.stdout)
        return result


def _digest(argument: str | Path | float) -> str:
    """What tells a file's content; nothing of anything else."""
    is_file = isinstance(argument, Path) and argument.is_file()
    return hashlib.sha256(argument.read_bytes()).hexdigest()[:16] if is_file else ""
