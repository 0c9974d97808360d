"""Labels that gold does not judge count as wrong: boxes of a detector, some of which hold no object."""

import hashlib

import numpy as np
import pytest
from made_up_labels import made_row

from fo1_data.confidence.acceptance import accept_kind
from fo1_data.confidence.calibration import fit_kind, predict
from fo1_data.confidence.judged_kind import by_kind
from fo1_data.judging.correctness import Judged, judge_pairs
from fo1_data.judging.matching import make_pair
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import EncodedImage, ImageRow, Provenance
from schemas.labels import Label, LabelKind, Signal, Source
from schemas.regions import Region, make_region_id

BRIEF = LabelKind.BRIEF_CAPTION
MAX_ERROR, LEVEL = 0.3, 0.1


def detected_image(rng: np.random.Generator, spurious: float) -> tuple[ImageRow, CorpusImage, list[bool]]:
    """A row whose captions look equally sure on objects and on boxes that hold none, its gold, and truth."""
    image_id = hashlib.sha256(rng.bytes(16)).hexdigest()
    regions, gold, truth = [], [], []
    for index in range(int(rng.integers(1, 6))):
        box = (20.0 * index, 0.0, 20.0 * index + 16, 16.0)
        is_object = bool(rng.random() >= spurious)
        trust = rng.normal()
        right = is_object and bool(rng.random() < 1 / (1 + np.exp(-2 - 2 * trust)))
        text = f"{'right' if right else 'wrong'} thing"
        signals = [Signal(name="logprob_mean", value=float(-np.exp(-trust)))]
        label = Label(kind=BRIEF, text=text, signals=signals)
        regions.append(
            Region(
                region_id=make_region_id(image_id, box),
                index=index,
                box_xyxy=box,
                box_source=Source.MODEL,
                brief_caption=text,
                labels=[label],
            )
        )
        if is_object:
            gold.append(CorpusRegion(box_xyxy=box, caption="right thing"))
        truth.append(right)
    row = made_row(0, num_regions=1).model_copy(
        update={
            "image_id": image_id,
            "uri": image_id,
            "uris": [image_id],
            "regions": regions,
            "groundings": [],
            "image": EncodedImage(path=image_id),
            "provenance": Provenance(model="made-up"),
        }
    )
    return row, CorpusImage(uri=image_id, width=100, height=20, regions=gold), truth


def judged_images(rng: np.random.Generator, count: int, spurious: float) -> list[Judged]:
    drawn = [detected_image(rng, spurious) for _ in range(count)]
    return judge_pairs([make_pair(row, gold) for row, gold, _ in drawn], "exact")


def test_a_caption_on_a_box_that_gold_does_not_have_is_missed() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        row, gold, truth = detected_image(rng, 0.5)
        judged = judge_pairs([make_pair(row, gold)], "exact")
        assert [verdict.evidence for verdict in judged] == truth
        assert sum(verdict.missed for verdict in judged) == len(row.regions) - len(gold.regions or [])


def test_an_image_of_which_gold_says_nothing_is_left_out() -> None:
    row, gold, _ = detected_image(np.random.default_rng(1), 0.0)
    without_boxes = gold.model_copy(update={"regions": None})
    without_words = gold.model_copy(
        update={"regions": [CorpusRegion(box_xyxy=region.box_xyxy) for region in gold.regions or []]}
    )
    for other in (without_boxes, without_words):
        assert {verdict.evidence for verdict in judge_pairs([make_pair(row, other)], "exact")} == {None}
    nothing_there = gold.model_copy(update={"regions": []})
    assert {verdict.evidence for verdict in judge_pairs([make_pair(row, nothing_there)], "exact")} == {False}


def test_a_second_box_on_the_same_object_is_judged_by_it() -> None:
    row, gold, _ = detected_image(np.random.default_rng(2), 0.0)
    first = row.regions[0]
    near = (first.box_xyxy[0] + 1, 0.0, first.box_xyxy[2] + 1, 16.0)
    row.regions.append(first.model_copy(update={"box_xyxy": near, "region_id": "near"}, deep=True))
    judged = judge_pairs([make_pair(row, gold)], "exact")
    assert judged[-1].right == judged[0].right is not None


@pytest.mark.parametrize("spurious", [0.15, 0.4])
def test_the_guarantee_holds_over_boxes_that_gold_does_not_have(spurious: float) -> None:
    """Over 20 draws the true error exceeds the promise in no more than 10 % and binomial noise."""
    exceeded, accepted_shares = 0, []
    for trial in range(20):
        rng = np.random.default_rng([trial, int(100 * spurious)])
        kind = fit_kind(by_kind(judged_images(rng, 150, spurious))[BRIEF], trial, families=["logistic"])
        rule = accept_kind(kind, MAX_ERROR, LEVEL)
        test = by_kind(judged_images(rng, 300, spurious))[BRIEF]
        accepted = np.zeros(len(test.right), dtype=bool)
        if rule.threshold is not None:
            accepted = predict(kind, test.tables) >= rule.threshold
        wrong = float((accepted & ~test.right).sum())
        exceeded += wrong > MAX_ERROR * max(1.0, float(accepted.sum()))
        accepted_shares.append(float(accepted.mean()))
    assert exceeded <= 5
    if spurious < 0.2:
        assert np.mean(accepted_shares) > 0.2
