"""Proposals, and phrases with the regions they name, against gold. Matching by IoU, see `matching`."""

from collections.abc import Sequence
from dataclasses import dataclass

from fo1_data.judging.matching import Pair, share
from fo1_data.judging.phrases import named_regions, others_alike, wanted_regions
from schemas.labels import LabelKind


@dataclass
class Tally:
    """Hits, false alarms and misses over phrases, and phrases answered as absent."""

    hits: int = 0
    false_alarms: int = 0
    misses: int = 0
    num_present: int = 0
    denied: int = 0
    num_absent: int = 0
    rejected: int = 0
    exact: int = 0

    def add(self, named: set[int | str], wanted: set[int | str]) -> None:
        """Count one phrase: gold indices named (others by their region id) against those wanted."""
        hits = len(named & wanted)
        self.hits += hits
        self.false_alarms += len(named) - hits
        self.misses += len(wanted) - hits
        self.exact += named == wanted
        if wanted:
            self.num_present += 1
            self.denied += not named
        else:
            self.num_absent += 1
            self.rejected += not named

    def document(self) -> dict[str, float | int | None]:
        """Precision, recall and F1 over all regions of all phrases; how absence was answered."""
        return {
            "f1": share(2 * self.hits, 2 * self.hits + self.false_alarms + self.misses),
            "precision": share(self.hits, self.hits + self.false_alarms),
            "recall": share(self.hits, self.hits + self.misses),
            "exact": share(self.exact, self.num_present + self.num_absent),
            "absent_rejected": share(self.rejected, self.num_absent),
            "present_denied": share(self.denied, self.num_present),
            "num_present": self.num_present,
            "num_absent": self.num_absent,
        }


def score_proposals(pairs: Sequence[Pair]) -> dict[str, object]:
    """Recall of gold boxes at IoU 0.5 and 0.75 by any region, and regions per gold box."""
    num_gold = sum(pair.overlaps.shape[1] for pair in pairs)
    num_regions = sum(pair.overlaps.shape[0] for pair in pairs)
    best = [pair.overlaps.max(axis=0) for pair in pairs if pair.overlaps.size]
    return {
        "recall": share(sum(int((one >= 0.5).sum()) for one in best), num_gold),
        "recall_75": share(sum(int((one >= 0.75).sum()) for one in best), num_gold),
        "regions_per_gold": share(num_regions, num_gold),
        "num_gold": num_gold,
        "images": len(pairs),
    }


def score_groundings(pairs: Sequence[Pair]) -> dict[str, object]:
    """All phrases asked for (`ground`, `detect`): together, and by kind of label and of phrase.

    The phrases of grounded captions, which the model chose itself, are told apart.
    """
    asked, spoken = Tally(), Tally()
    parts: dict[str, Tally] = {}
    for pair in pairs:
        kinds = (pair.gold.meta or {}).get("phrase_kinds", {})
        for grounding in pair.row.groundings:
            if grounding.kind is LabelKind.VISUAL_EXAMPLE:
                alike = others_alike(pair, grounding.phrase)
                if alike is not None:
                    tally = parts.setdefault(grounding.kind.value, Tally())
                    tally.add(named_regions(pair, grounding.region_ids), alike)
                continue
            wanted = wanted_regions(pair.gold, grounding.phrase)
            if wanted is None:
                continue
            named = named_regions(pair, grounding.region_ids)
            if grounding.kind == LabelKind.GROUNDED_CAPTION:
                spoken.add(named, wanted)
                continue
            asked.add(named, wanted)
            names = [grounding.kind.value]
            names += [f"phrases.{kinds[grounding.phrase]}"] if grounding.phrase in kinds else []
            for name in names:
                parts.setdefault(name, Tally()).add(named, wanted)
    by_kind = {name: tally.document() for name, tally in sorted(parts.items())}
    return {**asked.document(), "by_kind": by_kind, "grounded_caption": spoken.document()}
