"""What is checked after faults: every input once, nothing changed, nothing of the corpus gone.

Looks only at what users have: the finished dataset. A reject that `--replay-rejects` would label is no loss.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from made_corpus import annotations_of
from run_probes import comparable

from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from schemas.dataset import Manifest


@dataclass
class Findings:
    """What is wrong. `lost`, `doubled`, `changed`: the names of inputs, items or annotations."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.changed or self.invalid)

    def add(self, other: "Findings") -> None:
        """Add those of another step."""
        for name, found in vars(other).items():
            getattr(self, name).extend(found)

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
    inputs = {path.name for path in corpus.rglob("*.png")}
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
    _check_account(corpus, dataset.manifest, open_dataset(undisturbed).manifest, findings)
    return findings


def check_rows(out: str, undisturbed: str, findings: Findings) -> None:
    """Compare a version, and its account of the corpus, with the one that was made undisturbed."""
    found = comparable(Path(out))
    rows = {row["image_id"]: row for row in found}
    calm = {row["image_id"]: row for row in comparable(Path(undisturbed))}
    findings.once(set(calm), Counter(row["image_id"] for row in found))
    both = calm.keys() & rows.keys()
    findings.changed += [f"{calm[name]['uri']}: another row" for name in both if calm[name] != rows[name]]
    if open_dataset(out).manifest.sources != open_dataset(undisturbed).manifest.sources:
        findings.changed.append("the account of the sources")


def check_trained(out: Path, undisturbed: Path, findings: Findings) -> None:
    """Compare the weights of a training, the last and the best ones, with those of an undisturbed one."""
    for name in ("model.safetensors", "best/model.safetensors"):
        if _sha256(out / name) != _sha256(undisturbed / name):
            findings.changed.append(f"the weights of {name}")


def _check_account(corpus: Path, manifest: Manifest, calm: Manifest, findings: Findings) -> None:
    """Every annotation that the corpus has was found, and is attached or rejected."""
    if manifest.sources != calm.sources:
        findings.changed.append("the account of the sources")
    found, accounted = Counter[str](), Counter[str]()
    for source in manifest.sources or ():
        found.update(source.found)
        accounted.update(source.attached)
        accounted.update(source.rejected)
    truth = annotations_of(corpus)
    if found != truth:
        findings.lost.append(f"annotations: {dict(found)} were found, the corpus has {dict(truth)}")
    if accounted != found:
        findings.lost.append(f"annotations: {dict(found)} were found, {dict(accounted)} accounted for")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"


def _without_rejected(row: dict[str, Any], rejected: set[str]) -> dict[str, Any]:
    """A row without the names of those copies of its image that a fault made rejects."""
    uris = [uri for uri in row["uris"] if Path(uri).name not in rejected]
    return {**row, "uris": uris, "uri": uris[0], "image": {**row["image"], "path": uris[0]}} if uris else row
