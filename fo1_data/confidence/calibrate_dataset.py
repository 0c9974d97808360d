"""Fits a calibration to a finished dataset. Gold is a corpus with gold, or the corrections of a review.

Only judges, divides and collects; the fit of one label kind is in `calibration`.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fo1_data.confidence.calibration import fit_kind
from fo1_data.confidence.calibration_match import origin_of
from fo1_data.confidence.judged_kind import ReadSignals, by_kind, own_signals
from fo1_data.confidence.stored_signals import StoredSignals
from fo1_data.dataset.collection import without_collection
from fo1_data.dataset.label_parts import label_parts
from fo1_data.dataset.light_rows import light_rows
from fo1_data.dataset.manifest import now
from fo1_data.dataset.reader import Dataset, open_dataset
from fo1_data.errors import CalibrationError, Fo1Error
from fo1_data.judging.correctness import Judged, judge_pairs
from fo1_data.judging.gold_files import load_gold_of
from fo1_data.judging.matching import nothing_matches, pair_rows
from fo1_data.judging.review_verdicts import judge_reviewed
from fo1_data.judging.texts import CaptionMatch
from fo1_data.storage.addresses import normalise
from fo1_data.storage.streams import read_whole
from schemas.calibration import Calibration
from schemas.corrections import Correction, parse_corrections
from schemas.images import ImageRow
from schemas.labels import Decision, LabelKind


def calibrate_dataset(
    address: str, gold: str, how: CaptionMatch = "exact", seed: int = 0, gold_with_model_labels: bool = False
) -> Calibration:
    """Judge the labels of the dataset at `address` by `gold` and fit every kind that has a verdict.

    Corrections judge the labels as the model gave them: of images that have been corrected already, the rows
    as they were before, together with the corrections that were merged.
    `how`: the rule by which a caption matches gold. `gold_with_model_labels`: gold is a dataset of the
    project whose model's labels count as gold too; ConfigError if it is none. Raises CalibrationError if gold
    judges no label, DatasetError if the dataset cannot be read, CorpusError if gold cannot be read.
    """
    with without_collection():
        return _calibrate(open_dataset(address), address, gold, how, seed, gold_with_model_labels)


def _calibrate(
    dataset: Dataset, address: str, gold: str, how: CaptionMatch, seed: int, gold_with_model_labels: bool
) -> Calibration:
    corrections = None if gold_with_model_labels else read_corrections(gold)
    if corrections is not None:
        by_gold = _judge_by_corrections(dataset, corrections)
    else:
        by_gold = _judge_by_images(dataset, gold, how, gold_with_model_labels)
    kinds = by_kind(by_gold.judged, missed_as_verdict=corrections is None, read_signals=by_gold.read_signals)
    num_images, gold_ids = dataset.manifest.counts.images, by_gold.image_ids
    if not kinds:
        if corrections is None and not gold_ids:
            raise CalibrationError(f"--gold {gold}: {nothing_matches(num_images, by_gold.num_images)}")
        raise CalibrationError(
            f"--gold {gold} judges no label of {address}, though it is about {len(gold_ids)} of its images"
            if gold_ids
            else f"--gold {gold} is about no image of {address}: corrections are matched by image id"
        )
    model, origin = dataset.manifest.model, origin_of(dataset.manifest)
    calibration = Calibration(
        created_at=now(),
        model_name=model.name if model else None,
        model_sha256=origin.model_sha256,
        proposer=origin.proposer,
        proposer_sha256=origin.proposer_sha256,
        prompts_version=origin.prompts_version or _prompts_version(dataset),
        dataset=f"{dataset.manifest.name}@{dataset.manifest.version}",
        dataset_images=num_images,
        gold_images=len(gold_ids),
        gold=gold,
        gold_sha256=_sha256(gold),
        gold_with_model_labels=gold_with_model_labels,
        caption_match=how,
        seed=seed,
        kinds={kind: fit_kind(labels, seed) for kind, labels in kinds.items()},
    )
    for kind in by_gold.sent_kinds & calibration.kinds.keys():
        calibration.kinds[kind].scope = "accepted_before"
    return calibration


class _ByGold(NamedTuple):
    """The labels of a dataset as its gold judges them.

    `image_ids`: of the images that gold is about; `num_images`: how many it has, in the dataset or not.
    `sent_kinds`: the kinds of which an earlier routing sent labels to review, where gold is that review.
    """

    judged: list[Judged]
    image_ids: set[str]
    num_images: int
    read_signals: ReadSignals
    sent_kinds: set[LabelKind]


def _judge_by_corrections(dataset: Dataset, corrections: list[Correction]) -> _ByGold:
    history = dataset.history()
    history.add(corrections)
    rows = (history.originals.get(row.image_id, row) for row in dataset.rows())
    sent_kinds: set[LabelKind] = set()
    judged = judge_reviewed(_collect_sent_kinds(rows, sent_kinds), history.corrections.values())
    said = {correction.image_id for correction in corrections}
    image_ids = said & {judgement.part.row.image_id for judgement in judged}
    return _ByGold(judged, image_ids, len(said), own_signals, sent_kinds)


def _judge_by_images(dataset: Dataset, gold: str, how: CaptionMatch, with_model_labels: bool) -> _ByGold:
    gold_images = load_gold_of(gold, dataset, with_model_labels).entries
    pairs = list(pair_rows(light_rows(dataset, pixels=False), gold_images))
    read_signals = StoredSignals(dataset)
    image_ids = {pair.row.image_id for pair in pairs}
    return _ByGold(judge_pairs(pairs, how), image_ids, len(gold_images), read_signals, set())


def read_corrections(address: str) -> list[Correction] | None:
    """The corrections in a JSON Lines file; None if the address holds anything else.

    Raises CalibrationError if a line of such a file is no correction.
    """
    if not address.endswith((".jsonl", ".ndjson")):
        return None
    try:
        lines = read_whole(normalise(address)).decode().split("\n")
    except (OSError, Fo1Error, UnicodeDecodeError):
        return None
    first = next((line for line in lines if line.strip()), "")
    if '"action"' not in first:
        return None
    try:
        return list(parse_corrections(lines))
    except ValueError as error:
        raise CalibrationError(f"--gold {address}: {error}") from None


def _collect_sent_kinds(rows: Iterable[ImageRow], sent_kinds: set[LabelKind]) -> Iterator[ImageRow]:
    """Yields the rows unchanged; adds to `sent_kinds` each kind that an earlier routing sent to review.

    Looks at all rows, because audited labels may lie in other images than reviewed ones.
    """
    for row in rows:
        sent_kinds.update(part.kind for part in label_parts(row) if part.label.decision is Decision.REVIEW)
        yield row


def _prompts_version(dataset: Dataset) -> str | None:
    return next((row.provenance.prompts_version for row in light_rows(dataset, pixels=False)), None)


def _sha256(address: str) -> str | None:
    """The SHA-256 (hex) of gold that is a single file; None for a folder or a glob."""
    try:
        return hashlib.sha256(read_whole(normalise(address))).hexdigest()
    except (OSError, Fo1Error):
        return None
