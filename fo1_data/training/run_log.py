"""The log of a training run: JSON lines, one a step with its `loss`, one a measurement. Imports no torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fo1_data.errors import CheckpointError
from fo1_data.storage.json_text import parse_json
from fo1_data.training.events import SampleFigures


class RunLog:
    """A log at a path, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, document: Mapping[str, Any]) -> None:
        """Add a line."""
        with self._path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(document) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """All lines but a last one that was cut off. Raises CheckpointError if another is damaged."""
        if not self._path.is_file():
            return []
        texts = self._path.read_bytes().splitlines()
        lines = []
        for number, text in enumerate(texts, start=1):
            try:
                line = parse_json(text)
                if not isinstance(line, dict) or not isinstance(line.get("step"), int):
                    raise ValueError
                lines.append(line)
            except ValueError:
                if number < len(texts):
                    raise self._damaged(f" in line {number}") from None
        return lines

    def truncate(self, step: int) -> None:
        """Remove the lines after `step`; a resumed run does those steps again."""
        if self._path.is_file():
            kept = [json.dumps(line) for line in self.lines() if line["step"] <= step]
            partial = self._path.with_name(f"{self._path.name}.partial")
            partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
            partial.replace(self._path)

    def validations(self) -> list[tuple[int, SampleFigures]]:
        """The validations that the log holds with their steps, in order. Raises as `lines`."""
        lines = [line for line in self.lines() if "validation" in line]
        try:
            return [(line["step"], SampleFigures(**line["validation"])) for line in lines]
        except TypeError:
            raise self._damaged(" in a validation") from None

    def _damaged(self, where: str) -> CheckpointError:
        return CheckpointError(
            f"{self._path} is damaged{where}: delete it and run again (the figures so far are lost, the "
            "weights are not)"
        )
