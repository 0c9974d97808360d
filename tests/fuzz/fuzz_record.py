"""How far each target has come and what was found, so that a stopped program goes on."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Progress:
    """Of one target and seed. num: inputs done; the next one has this number. seconds: of the processor.

    outcomes: what became of the inputs. findings: by what is wrong: the first number, how often, words.
    """

    num: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: dict[str, tuple[int, int, str]] = field(default_factory=dict)

    def add_finding(self, number: int, what: str, words: str) -> None:
        first, times, first_words = self.findings.get(what, (number, 0, words))
        self.findings[what] = (first, times + 1, first_words)

    def line(self, name: str) -> str:
        """Counts, throughput and findings, in one line."""
        each = f", {self.seconds / self.num * 1000:.2f} ms each" if self.num else ""
        became = ", ".join(f"{num} {words}" for words, num in self.outcomes.most_common())
        return f"{name}: {self.num} inputs{each}; {len(self.findings)} findings ({became})"


class Record:
    """The progress of all targets for one seed, in `folder/seed-N.json`."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._path = folder / f"seed-{seed}.json"
        self.targets: dict[str, Progress] = {}
        if self._path.exists():
            for name, fields in json.loads(self._path.read_text()).items():
                fields["outcomes"] = Counter(fields["outcomes"])
                self.targets[name] = Progress(**fields)

    def progress(self, name: str) -> Progress:
        return self.targets.setdefault(name, Progress())

    def write(self) -> None:
        """Keep it, all or nothing."""
        text = json.dumps({name: vars(progress) for name, progress in self.targets.items()}, indent=1)
        new = self._path.with_suffix(".new")
        new.write_text(text)
        new.replace(self._path)
