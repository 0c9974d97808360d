"""A calibration of a finished dataset and its gold: a corpus with gold, or what people said in a review."""

import hashlib
from collections.abc import Iterable, Iterator

from fo1_data.confidence.calibration import by_kind, fit_kind
from fo1_data.confidence.calibration_match import labelled_by
from fo1_data.corpus.readers import read_corpus
from fo1_data.dataset.label_parts import label_parts
from fo1_data.dataset.manifest import now
from fo1_data.dataset.reader import Dataset, open_dataset
from fo1_data.errors import CalibrationError, Fo1Error
from fo1_data.judging.correctness import judge_pairs
from fo1_data.judging.matching import pair_rows
from fo1_data.judging.review_verdicts import judge_reviewed
from fo1_data.judging.texts import CaptionMatch
from fo1_data.storage.addresses import normalise
from fo1_data.storage.streams import read_whole
from schemas.calibration import Calibration
from schemas.corpus import CorpusImage
from schemas.corrections import Correction, parse_corrections
from schemas.images import ImageRow
from schemas.labels import Decision, LabelKind


def calibrate_dataset(address: str, gold: str, how: CaptionMatch = "exact", seed: int = 0) -> Calibration:
    """Judge the labels of the dataset by the gold and fit every kind that gold says something of.

    Raises CalibrationError where it says nothing, DatasetError or CorpusError where one cannot be read.
    """
    dataset = open_dataset(address)
    corrections = read_corrections(gold)
    sent: set[LabelKind] = set()
    if corrections is not None:
        judged = judge_reviewed(_noting_sent(dataset.rows(), sent), corrections)
    else:
        judged = judge_pairs(pair_rows(dataset.rows(), _gold_images(gold)), how)
    kinds = by_kind(judged)
    if not kinds:
        raise CalibrationError(
            f"{gold} judges no label of {address}: images are matched by address, id or file name, "
            "corrections by image id"
        )
    model, labelled = dataset.manifest.model, labelled_by(dataset.manifest)
    calibration = Calibration(
        created_at=now(),
        model_name=model.name if model else None,
        model_sha256=labelled.model_sha256,
        proposer=labelled.proposer,
        proposer_sha256=labelled.proposer_sha256,
        prompts_version=labelled.prompts_version or _prompts_version(dataset),
        dataset=f"{dataset.manifest.name}@{dataset.manifest.version}",
        gold=gold,
        gold_sha256=_sha256(gold),
        caption_match=how,
        seed=seed,
        kinds={kind: fit_kind(one, seed) for kind, one in kinds.items()},
    )
    for kind in sent & calibration.kinds.keys():
        calibration.kinds[kind].scope = "accepted_before"
    return calibration


def read_corrections(address: str) -> list[Correction] | None:
    """The corrections of a JSON Lines file of them; None where it is something else."""
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


def _gold_images(gold: str) -> list[CorpusImage]:
    return [entry for entry in read_corpus(gold) if isinstance(entry, CorpusImage)]


def _noting_sent(rows: Iterable[ImageRow], sent: set[LabelKind]) -> Iterator[ImageRow]:
    """The rows as they are; `sent` gets the kinds of which an earlier routing sent labels to people.

    Of all rows: what was audited may lie in other images than what was sent.
    """
    for row in rows:
        sent.update(part.kind for part in label_parts(row) if part.label.decision is Decision.REVIEW)
        yield row


def _prompts_version(dataset: Dataset) -> str | None:
    return next((row.provenance.prompts_version for row in dataset.rows()), None)


def _sha256(address: str) -> str | None:
    """Of a gold's one file, hex; None of a folder or a glob."""
    try:
        return hashlib.sha256(read_whole(normalise(address))).hexdigest()
    except (OSError, Fo1Error):
        return None
