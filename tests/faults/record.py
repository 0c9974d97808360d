"""What was injected and what was found, a line a segment, so that a stopped program goes on."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ledger import Findings


@dataclass
class Segment:
    """One stretch of the loop with its faults. injected: how many of each kind. stories: what was seen.

    stop_s: how long stopped processes stayed so; None: a second or two at most.
    """

    number: int
    loop: str
    injected: Counter[str] = field(default_factory=Counter)
    findings: Findings = field(default_factory=Findings)
    stories: list[str] = field(default_factory=list)
    seconds: float = 0.0
    stop_s: float | None = None

    @property
    def num_injected(self) -> int:
        return self.injected.total()


class Record:
    """The segments so far, in `folder/record.jsonl`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "record.jsonl"
        self.segments: list[Segment] = []
        if self._path.exists():
            for line in self._path.read_text().splitlines():
                fields = json.loads(line)
                fields["injected"] = Counter(fields["injected"])
                fields["findings"] = Findings(**fields["findings"])
                self.segments.append(Segment(**fields))

    @property
    def num_injected(self) -> int:
        return sum(segment.num_injected for segment in self.segments)

    def add(self, segment: Segment) -> None:
        """Keep a segment: written before the next one begins."""
        self.segments.append(segment)
        with self._path.open("a") as file:
            file.write(json.dumps({**vars(segment), "findings": vars(segment.findings)}) + "\n")

    def by_kind(self) -> Counter[str]:
        return sum((segment.injected for segment in self.segments), Counter())

    def last_line(self) -> str:
        """How many faults of which kind, and what was lost, doubled, changed, or not valid."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.by_kind().items()))
        found = {
            name: sum(len(getattr(segment.findings, name)) for segment in self.segments)
            for name in ("lost", "doubled", "changed", "invalid")
        }
        return f"{self.num_injected} faults ({kinds}): " + ", ".join(
            f"{n} {name}" for name, n in found.items()
        )

    def has_findings(self) -> bool:
        return any(segment.findings for segment in self.segments)
