"""Figures of proposals, and of phrases with the regions they name, against gold.

Regions match gold regions by IoU, see `fo1_data.judging.matching`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fo1_data.judging.matching import Pair, has_own_boxes, share
from fo1_data.judging.phrases import gold_regions, named_regions, same_label_regions
from schemas.labels import LabelKind


@dataclass
class GroundingCounts:
    """Hits, false alarms and misses over the regions of phrases, and phrases answered as absent.

    `denied`: present phrases answered with no region; `rejected`: absent phrases answered with no region.
    """

    hits: int = 0
    false_alarms: int = 0
    misses: int = 0
    num_present: int = 0
    denied: int = 0
    num_absent: int = 0
    rejected: int = 0
    exact: int = 0

    def add(self, named: set[int | str], expected: set[int | str]) -> None:
        """Count one phrase. Regions are given by their gold index, or by region id if they match none."""
        hits = len(named & expected)
        self.hits += hits
        self.false_alarms += len(named) - hits
        self.misses += len(expected) - hits
        self.exact += named == expected
        if expected:
            self.num_present += 1
            self.denied += not named
        else:
            self.num_absent += 1
            self.rejected += not named

    def document(self) -> dict[str, float | int | None]:
        """Precision, recall and F1 over all regions of all phrases, and how absent phrases were answered."""
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


OWN_BOXES = "the boxes are gold's own: how many of them a proposer finds cannot be measured"


def score_proposals(pairs: Sequence[Pair]) -> dict[str, object]:
    """The recall of gold boxes by any region, at IoU 0.5 and 0.75, and the number of regions per gold box.

    Images whose boxes are gold's own are left out; if that leaves none, the figures are null and `note` says
    why. `own_boxes`: how many images were left out.
    """
    proposed = [pair for pair in pairs if not has_own_boxes(pair)]
    own = {"own_boxes": len(pairs) - len(proposed)}
    if own["own_boxes"] and not any(pair.overlaps.shape[1] for pair in proposed):
        num_gold = sum(pair.overlaps.shape[1] for pair in pairs)
        nothing = {"recall": None, "recall_75": None, "regions_per_gold": None, "num_gold": num_gold}
        return {**nothing, "images": len(pairs), **own, "note": OWN_BOXES}
    return {**_recalls(proposed), "images": len(pairs), **own}


def _recalls(pairs: Sequence[Pair]) -> dict[str, object]:
    num_gold = sum(pair.overlaps.shape[1] for pair in pairs)
    num_regions = sum(pair.overlaps.shape[0] for pair in pairs)
    best = [pair.overlaps.max(axis=0) for pair in pairs if pair.overlaps.size]
    return {
        "recall": share(sum(int((overlaps >= 0.5).sum()) for overlaps in best), num_gold),
        "recall_75": share(sum(int((overlaps >= 0.75).sum()) for overlaps in best), num_gold),
        "regions_per_gold": share(num_regions, num_gold),
        "num_gold": num_gold,
    }


def score_groundings(pairs: Sequence[Pair]) -> dict[str, object]:
    """Figures of `ground` and `detect` phrases: together, and by label kind and by gold's kind of phrase.

    The phrases of grounded captions, which the model chose itself, are reported separately.
    """
    requested, chosen = GroundingCounts(), GroundingCounts()
    parts: dict[str, GroundingCounts] = {}
    for pair in pairs:
        kinds = (pair.gold.meta or {}).get("phrase_kinds", {})
        for grounding in pair.row.groundings:
            if grounding.kind is LabelKind.VISUAL_EXAMPLE:
                alike = same_label_regions(pair, grounding.phrase)
                if alike is not None:
                    counts = parts.setdefault(grounding.kind.value, GroundingCounts())
                    counts.add(named_regions(pair, grounding.region_ids), alike)
                continue
            expected = gold_regions(pair, grounding.phrase)
            if expected is None:
                continue
            named = named_regions(pair, grounding.region_ids)
            if grounding.kind == LabelKind.GROUNDED_CAPTION:
                chosen.add(named, expected)
                continue
            requested.add(named, expected)
            names = [grounding.kind.value]
            names += [f"phrases.{kinds[grounding.phrase]}"] if grounding.phrase in kinds else []
            for name in names:
                parts.setdefault(name, GroundingCounts()).add(named, expected)
    by_kind = {name: counts.document() for name, counts in sorted(parts.items())}
    return {**requested.document(), "by_kind": by_kind, "grounded_caption": chosen.document()}
