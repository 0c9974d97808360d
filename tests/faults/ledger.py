"""What is checked after faults: every input once, nothing changed, nothing of the corpus gone.

Looks only at what users have: the finished dataset. A reject that `--replay-rejects` would label is no loss.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from run_probes import comparable

from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset


@dataclass
class Findings:
    """What is wrong. `lost`, `doubled`, `changed`: the names of inputs, items or annotations."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.changed or self.invalid)

    def once(self, expected: set[str], found: Counter[str]) -> None:
        """Each expected name is there once."""
        self.lost += sorted(expected - set(found))
        self.doubled += sorted(name for name, times in found.items() if times > 1)
        self.changed += sorted(set(found) - expected)


def check_labelled(corpus: Path, out: str, undisturbed: str) -> Findings:
    """Compare a dataset with the one that a run without faults made of the same corpus."""
    findings = Findings()
    findings.invalid += validate_dataset(out)
    dataset = open_dataset(out)
    rejects = [reject for reject in dataset.rejects() if reject.stage != "box"]
    rejected = Counter(Path(reject.uri).name for reject in rejects)
    rows = {row["image_id"]: row for row in comparable(out)}
    in_rows = Counter(Path(uri).name for row in dataset.rows() for uri in row.uris)
    inputs = {path.name for path in corpus.iterdir() if path.suffix == ".png"}
    findings.once(inputs, in_rows + rejected)
    explained = {Path(reject.uri).name for reject in rejects if reject.replayable}
    calm = comparable(undisturbed)
    if len(calm) < len(inputs) / 2:
        findings.invalid.append("the undisturbed run has no rows to compare with")
    for expected in calm:
        name = Path(expected["uri"]).name
        row = rows.pop(expected["image_id"], None)
        if row is None and name not in explained:
            findings.changed.append(f"{name}: no row")
        elif row is not None and _without_rejected(expected, explained) != row:
            findings.changed.append(f"{name}: another row")
    findings.changed += [f"{row['uri']}: of bytes that no file has" for row in rows.values()]
    if dataset.manifest.sources != open_dataset(undisturbed).manifest.sources:
        findings.changed.append("the account of the sources")
    return findings


def _without_rejected(row: dict[str, Any], rejected: set[str]) -> dict[str, Any]:
    """A row without the names of those copies of its image that a fault made rejects."""
    uris = [uri for uri in row["uris"] if Path(uri).name not in rejected]
    return {**row, "uris": uris, "uri": uris[0], "image": {**row["image"], "path": uris[0]}} if uris else row
