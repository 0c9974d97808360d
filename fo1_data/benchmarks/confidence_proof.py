"""`python -m fo1_data.benchmarks.confidence_proof FOLDER`: measures confidences on corrupted scenes.

Writes corrupted scenes into FOLDER, labels them and measures: every signal alone and all signals together,
the guarantee over random splits, absent phrases with and without the absence check, and the share of labels
that people must review. A second run continues, and reuses the labels and figures in FOLDER.
`--corpus NAME=ADDRESS` does the same on a corpus with gold; `--corrupt-corpora` above 0 corrupts its images.
Writes the figures to FOLDER/figures.json and, as tables, to standard output.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fo1_data.benchmarks.confidence_figures import (
    absent_phrases,
    accepted_by,
    check_guarantee,
    compare_orders,
)
from fo1_data.confidence.acceptance import accept_kind
from fo1_data.confidence.calibration import fit_kind, predict
from fo1_data.confidence.judged_kind import by_kind, places_in_image
from fo1_data.config import load_run
from fo1_data.corpus.readers import load_listing
from fo1_data.dataset.reader import open_dataset
from fo1_data.evaluation.confidences import score_confidences
from fo1_data.judging.correctness import judge_pairs
from fo1_data.judging.matching import Pair, pair_rows
from fo1_data.judging.texts import CaptionMatch
from fo1_data.plurals import counted
from fo1_data.runs.in_process import run_in_process
from fo1_data.synthetic.corruption import corrupt, draw_severity
from fo1_data.synthetic.gold import write_scenes
from schemas.corpus import CorpusImage
from schemas.labels import LabelKind

MAX_ERRORS = (0.02, 0.05, 0.1)
LEVEL = 0.1
MIN_LABELS_PER_SIDE = 20
_VOCABULARY = {"scenes": "circle,square,star,heart"}


def main() -> None:
    """Run the benchmark with the options of the command line."""
    options = _options()
    folder = Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    corpora: dict[str, tuple[Path, CaptionMatch]] = {"scenes": (_scenes(folder, options), "exact")}
    for assignment in options.corpus:
        name, _, address = assignment.partition("=")
        corpora[name] = (_corrupted(folder / f"{name}-corpus", Path(address), options), "words")
    document: dict[str, Any] = {"options": vars(options)}
    scenes: list[Pair] = []
    for name, (corpus, how) in corpora.items():
        started_s = time.monotonic()
        pairs = _labelled(folder / f"{name}-labelled", corpus, name, options)
        scenes = scenes or pairs
        cache = folder / f"{name}-figures-{options.splits}-{options.seed}"
        document[name] = measure(pairs, how, options.splits, options.seed, cache)
        if name != "scenes":
            document[name]["by_rules_of_scenes"] = transfer(
                scenes, pairs, how, LabelKind.BRIEF_CAPTION, options.seed
            )
        print(f"{name}: {time.monotonic() - started_s:.0f} s", file=sys.stderr)
        (folder / "figures.json").write_text(json.dumps(document, indent=2) + "\n")
        print(_tables(name, document[name]))


def measure(pairs: list[Pair], how: CaptionMatch, splits: int, seed: int, cache: Path) -> dict[str, Any]:
    """All figures of one labelled corpus with gold, by label kind; each part is kept in `cache`."""
    absent = _cached(cache / "absent.json", lambda: absent_phrases(pairs, seed))
    alone = _cached(cache / "signals.json", lambda: score_confidences(pairs, how)["kinds"])
    document: dict[str, Any] = {"images": len(pairs), "kinds": {}, "absent_phrases": absent}
    for kind, judged in by_kind(judge_pairs(pairs, how)).items():
        labels = judged.take(judged.has_verdict)
        rarer = min(int(labels.right.sum()), int((~labels.right).sum()))
        figures: dict[str, Any] = {
            "labels": len(labels.right),
            "error": round(1 - float(labels.right.mean()), 4),
        }
        if rarer < MIN_LABELS_PER_SIDE:
            fitted = fit_kind(labels, seed)
            rules = {str(error): accept_kind(fitted, error, LEVEL, seed).explanation for error in MAX_ERRORS}
            document["kinds"][kind.value] = figures | {"note": fitted.figures.note, "rules": rules}
            continue
        figures |= {"signals": alone[kind.value].get("signals", {})}
        figures |= _cached(cache / f"{kind.value}-orders.json", partial(compare_orders, labels, seed))
        figures["guarantee"] = _cached(
            cache / f"{kind.value}-guarantee.json",
            partial(check_guarantee, judged, MAX_ERRORS, splits, LEVEL, seed),
        )
        document["kinds"][kind.value] = figures
    return document


def _cached(path: Path, compute: Callable[[], Any]) -> Any:
    """The JSON document at `path`; computed and written there if it does not exist."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(compute()) + "\n")
    return json.loads(path.read_text())


def transfer(
    source: list[Pair], target: list[Pair], how: CaptionMatch, kind: LabelKind, seed: int
) -> dict[str, Any]:
    """The guarantee of `source` on images that are unlike those it was certified on (`target`).

    By maximum error: the share of judged labels that are accepted, and the share of these that is wrong.
    """
    fitted = fit_kind(by_kind(judge_pairs(source, "exact"))[kind], seed)
    labels = by_kind(judge_pairs(target, how))[kind]
    confidences = predict(fitted, labels.tables)
    places = places_in_image(labels.image_numbers(), confidences)
    figures = {}
    for error in MAX_ERRORS:
        rule = accept_kind(fitted, error, LEVEL, seed)
        accepted = labels.has_verdict & accepted_by(rule, confidences, places)
        figures[str(error)] = {
            "coverage": round(float(accepted.sum() / labels.has_verdict.sum()), 4),
            "error": round(1 - float(labels.right[accepted].mean()), 4) if accepted.any() else None,
        }
    return figures


def _scenes(folder: Path, options: argparse.Namespace) -> Path:
    corpus = folder / "scenes-corpus"
    if not (corpus / "annotations.jsonl").exists():
        write_scenes(corpus, options.count, options.first_scene, (5, 14), options.corruption)
    return corpus / "annotations.jsonl"


def _corrupted(folder: Path, listing: Path, options: argparse.Namespace) -> Path:
    """A copy of a corpus with its images corrupted as scenes are; boxes and texts are unchanged."""
    target = folder / "annotations.jsonl"
    if target.exists():
        return target
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for number, line in enumerate(listing.read_text(encoding="utf-8").splitlines()[: options.corpus_limit]):
        document = json.loads(line)
        rng = np.random.default_rng([options.seed, number])
        image = Image.open(listing.parent / document["image"]).convert("RGB")
        boxes = [tuple(round(side) for side in region["box_xyxy"]) for region in document.get("regions", [])]
        severity = draw_severity(options.corrupt_corpora, rng)
        if severity > 0:
            image = corrupt(image, boxes, severity, rng)
        document["image"] = f"images/{number:05d}.png"
        image.save(folder / document["image"])
        lines.append(json.dumps(document))
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def _labelled(out: Path, corpus: Path, name: str, options: argparse.Namespace) -> list[Pair]:
    """The corpus, labelled into `out` unless it already is, paired with its gold."""
    gold = load_listing(str(corpus)).entries
    if not (out / "manifest.json").exists():
        kinds = "brief_caption,ground,count" if name in _VOCABULARY else "brief_caption,detect"
        settings = {
            "corpus": str(corpus),
            "out": str(out),
            "proposals": "corpus",
            "labels": kinds,
            "vocabulary": _VOCABULARY.get(name) or ",".join(_frequent_labels(gold)),
            "model": options.model,
        }
        overrides = dict(assignment.split("=", 1) for assignment in options.set)
        run_in_process(load_run(None, settings | overrides))
    return list(pair_rows(open_dataset(str(out)).rows(), gold))


def _frequent_labels(gold: Sequence[CorpusImage], most: int = 9) -> list[str]:
    """The most frequent labels of a corpus: present in some of its images, absent in others."""
    labels = [region.label for entry in gold for region in entry.regions or [] if region.label]
    return sorted(set(labels), key=lambda label: (-labels.count(label), label))[:most]


def _tables(name: str, document: dict[str, Any]) -> str:
    lines = [f"\n## {name}: {counted(document['images'], 'image')}"]
    for kind, figures in document["kinds"].items():
        lines.append(
            f"\n### {kind}: {counted(figures['labels'], 'label')}, {100 * figures['error']:.1f} % wrong"
        )
        if "note" in figures:
            rules = [f"- at {error}: {reason}" for error, reason in figures["rules"].items()]
            lines += [str(figures["note"]), *rules]
            continue
        lines += ["| trust | cov 1 % | 2 % | 5 % | 10 % | AURC | AUROC | ECE | Brier |", "| --- " * 9 + "|"]
        lines += [_order_line(*item) for item in figures["signals"].items()]
        lines.append(_order_line("**all signals**", figures["all_signals"]))
        low, high = figures["aurc_gain_95"]
        lines.append(
            f"\nAURC gain over log-probability: {figures['aurc_gain']:.4f}, 95 % [{low:.4f}, {high:.4f}]"
        )
        lines.append(
            f"Review to 2 % error: {figures['reviewed']:.3f} of labels, at random "
            f"{figures['reviewed_at_random']:.3f}, an oracle {figures['reviewed_by_an_oracle']:.3f}; "
            f"ratio {figures['effort_ratio']:.3f}"
        )
        lines += ["", "| max error | exceeded | allowed | none accepted | coverage | error 5/50/95/100 % |"]
        lines.append("| --- " * 6 + "|")
        lines += [_guarantee_line(row) for row in figures["guarantee"]]
    if "by_rules_of_scenes" in document:
        lines.append(f"\nCaptions by the rules of the scenes: {json.dumps(document['by_rules_of_scenes'])}")
    lines.append(f"\nAbsent phrases: {json.dumps(document['absent_phrases'])}")
    return "\n".join(lines)


def _order_line(name: str, figures: dict[str, Any]) -> str:
    names = [f"coverage_at_{risk:g}" for risk in (0.01, 0.02, 0.05, 0.1)] + ["aurc", "auroc", "ece", "brier"]
    cells = ("-" if figures.get(key) is None else f"{figures[key]:.4f}" for key in names)
    return f"| {name} | {' | '.join(cells)} |"


def _guarantee_line(row: dict[str, Any]) -> str:
    spread = "/".join(f"{error:.3f}" for error in row["error_quantiles_5_50_95_100"])
    return (
        f"| {row['max_error']:g} | {row['exceeded']} of {row['splits']} | {row['exceeded_allowed']} | "
        f"{row['accepted_none']} | {row['mean_coverage']:.3f} | {spread} |"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="confidence_proof", description=__doc__)
    parser.add_argument("folder", help="Where scenes, labels and figures are kept.")
    parser.add_argument("--count", type=int, default=600, help="How many scenes.")
    parser.add_argument("--first-scene", type=int, default=910_000_000, help="The first scene's seed.")
    parser.add_argument("--corruption", type=float, default=0.5, help="How hard scenes are to see, 0 to 1.")
    parser.add_argument("--model", default="fo1-tiny", help="The model that labels.")
    parser.add_argument("--corpus", action="append", default=[], metavar="NAME=ANNOTATIONS.jsonl")
    parser.add_argument("--corpus-limit", type=int, default=200, help="Images of each such corpus.")
    parser.add_argument("--corrupt-corpora", type=float, default=0.0, help="Corruption of their images.")
    parser.add_argument("--splits", type=int, default=200, help="Random splits of the guarantee.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of every split and resample.")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="Settings of label.")
    return parser.parse_args()


if __name__ == "__main__":
    main()
