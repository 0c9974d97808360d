"""The figures of the confidence benchmark on made-up labels: gain, guarantee and review effort."""

from itertools import product

import pytest
from made_up_labels import made_kind, made_row

from fo1_data.benchmarks.confidence_figures import absent_phrases, check_guarantee, compare_orders
from fo1_data.benchmarks.confidence_proof import transfer
from fo1_data.benchmarks.second_opinion import worth
from fo1_data.judging.matching import Pair, make_pair
from schemas.corpus import CorpusImage, CorpusPhrase, CorpusRegion
from schemas.labels import LabelKind, Signal


def test_rankings_are_compared_on_labels_that_the_fit_has_not_seen() -> None:
    judged = made_kind(num_images=100)
    for table, right in zip(judged.tables, judged.right, strict=True):
        table["region_prob_min"] = float(right)
    figures = compare_orders(judged, seed=0, num_resamples=40)
    low, high = figures["aurc_gain_95"]
    assert 0 < low <= figures["aurc_gain"] <= high
    assert figures["all_signals"]["auroc"] > 0.99
    assert figures["reviewed_by_an_oracle"] <= figures["reviewed"] < figures["reviewed_at_random"]


def test_signals_without_information_gain_nothing() -> None:
    figures = compare_orders(made_kind(num_images=100, error=0.3), seed=0, num_resamples=40)
    assert figures["aurc_gain"] == pytest.approx(0, abs=0.02)


def test_a_second_model_is_worth_what_its_signal_adds() -> None:
    judged = made_kind(num_images=100, error=0.3)
    for table, right in zip(judged.tables, judged.right, strict=True):
        table["second_opinion"] = float(right)
    figures = worth(judged, seed=0, goal=0.02, num_resamples=40)
    for beside, cost in product(("all_signals", "log_probability"), ("aurc", "reviewed")):
        gained = figures[f"beside_{beside}"][cost]
        low, high = gained["gain_95"]
        assert 0 < low <= gained["gain"] <= high
        assert gained["with"] < gained["without"]
    assert (figures["error_where_it_agrees"], figures["error_where_not"]) == (0, 1)
    for table in judged.tables:
        table["second_opinion"] = 1.0
    assert worth(judged, seed=0, goal=0.02, num_resamples=40)["beside_all_signals"]["aurc"]["gain"] == 0


def test_a_guarantee_is_counted_over_splits() -> None:
    rows = check_guarantee(made_kind(num_images=240, error=0.15), (0.2, 0.5), 40, 0.1, seed=0, num_fits=2)
    assert [row["splits"] for row in rows] == [40, 40]
    assert all(row["exceeded"] <= row["exceeded_allowed"] for row in rows)
    assert rows[1]["mean_coverage"] > 0.9
    assert rows[0]["mean_coverage"] <= rows[1]["mean_coverage"]


def captioned(numbers: range, num_regions: int, missing: int = 0) -> list[Pair]:
    """Pairs in which nearly every caption is right, and gold lacks the last `missing` regions."""
    pairs = []
    for number in numbers:
        row = made_row(number, num_regions=num_regions, error=0.01)
        row.width = 200
        regions = [
            CorpusRegion(box_xyxy=region.box_xyxy, label="thing", caption=f"right thing {region.index}")
            for region in row.regions[: num_regions - missing]
        ]
        pairs.append(make_pair(row, CorpusImage(uri=row.uri, width=200, height=20, regions=regions)))
    return pairs


def test_a_transferred_rule_keeps_its_limit_of_labels_per_image() -> None:
    target = captioned(range(900, 920), num_regions=12)
    figures = transfer(captioned(range(160), num_regions=4), target, "exact", LabelKind.BRIEF_CAPTION, seed=0)
    assert 0.1 < figures["0.1"]["coverage"] <= 4 / 12
    assert figures["0.1"]["error"] < 0.1


def test_a_rule_accepts_nothing_if_gold_lacks_a_quarter_of_the_boxes() -> None:
    """Captions of boxes that gold lacks count as wrong: more of them than an error of a tenth allows."""
    fitted = captioned(range(160), num_regions=4, missing=1)
    target = captioned(range(900, 920), num_regions=12, missing=1)
    assert transfer(fitted, target, "exact", LabelKind.BRIEF_CAPTION, seed=0)["0.1"]["coverage"] == 0


def pairs_of(check_is_right: bool) -> list[Pair]:
    """Phrases of which half are absent. The model names a region for all; the check may know better."""
    pairs = []
    for number in range(80):
        row = made_row(number)
        absent = number % 2 == 0
        value = float(absent) if check_is_right else 0.5
        row.groundings[0].label.signals = [Signal(name="absence_probability", value=value)]
        row.groundings[0].region_ids = [row.regions[0].region_id]
        phrase = CorpusPhrase(text="first thing", region_indices=[] if absent else [0])
        first = CorpusRegion(box_xyxy=row.regions[0].box_xyxy, label="thing")
        gold = CorpusImage(uri=row.uri, width=100, height=20, regions=[first], phrases=[phrase])
        pairs.append(make_pair(row, gold))
    return pairs


@pytest.mark.parametrize("check_is_right", [True, False])
def test_a_right_absence_check_removes_false_positives(check_is_right: bool) -> None:
    figures = absent_phrases(pairs_of(check_is_right), seed=0)
    assert (figures["num_present"], figures["num_absent"]) == (40, 40)
    assert figures["as_answered"] == {"recall": 1.0, "false_positives": 1.0}
    assert figures["without_check"]["false_positives"] > 0.8
    assert (figures["with_check"]["false_positives"] == 0) == check_is_right
