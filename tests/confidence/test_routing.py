"""Decisions by thresholds, audit and budget, with reasons; independent of order; people's labels stay."""

import numpy as np
import pytest
from made_up_labels import made_row

from fo1_data.confidence.reasons import FAULT_TEXTS, REASON_TEXTS, reasons_for
from fo1_data.confidence.review_cost import is_for_people
from fo1_data.confidence.review_plan import ReviewPlan, rank_of_trust
from fo1_data.confidence.routing import BEYOND_BUDGET, DRAWN, UNREVIEWED, Router
from fo1_data.confidence.signal_columns import describe_columns, signal_matrix
from fo1_data.confidence.signals import SIGNALS
from fo1_data.dataset.human_labels import confirmed, made_stale
from schemas.calibration import Acceptance, RoutingSettings
from schemas.images import ImageRow
from schemas.labels import Decision, Label, LabelKind, Signal, strictest

BRIEF = LabelKind.BRIEF_CAPTION


def scored_rows(count: int = 40) -> list[ImageRow]:
    rows = [made_row(number) for number in range(count)]
    for row in rows:
        for label in row.all_labels():
            values = {signal.name: signal.value for signal in label.signals}
            label.confidence = float(np.float32(1 / (1 + np.exp(-values["logprob_mean"] - 2))))
    return rows


def guarded(threshold: float | None = 0.7, most: int = 10, **settings: object) -> Router:
    router = Router(RoutingSettings(max_error=0.1, **settings), None, [])
    rule = Acceptance(threshold=threshold, most_labels=most, explanation="nothing can be accepted: why")
    router.acceptances = {BRIEF: rule, LabelKind.GROUND: rule}
    return router


def with_budget(budget: float, rows: list[ImageRow], router: Router | None = None) -> None:
    router = router or Router(RoutingSettings(review_budget=budget), None, [])
    plan = ReviewPlan(router)
    for row in rows:
        plan.add_rows([row])
    chosen = plan.choose()
    for row in rows:
        router.decide_rows([row], chosen)


def labels_of(rows: list[ImageRow]) -> list[Label]:
    return [label for row in rows for label in row.all_labels()]


def decisions(rows: list[ImageRow]) -> dict[str, list[Decision | None]]:
    return {row.image_id: [label.decision for label in row.all_labels()] for row in rows}


def test_labels_from_the_threshold_on_are_accepted_and_all_have_reasons() -> None:
    rows = scored_rows()
    for row in rows:
        guarded().decide_rows([row])
    for label in labels_of(rows):
        assert label.confidence is not None
        assert (label.decision is Decision.ACCEPT) == (label.confidence >= 0.7)
        assert label.reasons
        assert all("\n" not in reason for reason in label.reasons)
    assert {label.decision for label in labels_of(rows)} == {Decision.ACCEPT, Decision.REVIEW}


def test_regions_and_rows_take_the_strictest_decision() -> None:
    rows = scored_rows()
    for row in rows:
        guarded().decide_rows([row])
        assert row.decision == strictest(label.decision for label in row.all_labels())
        for region in row.regions:
            assert region.decision == region.labels[0].decision


def test_no_rule_accepts_nothing_and_an_uncalibrated_label_is_reviewed() -> None:
    rows = scored_rows(3)
    guarded(threshold=None).decide_rows([rows[0]])
    assert {label.decision for label in rows[0].all_labels()} == {Decision.REVIEW}
    rows[1].regions[0].labels[0].confidence = None
    guarded(threshold=0.0).decide_rows([rows[1]])
    label = rows[1].regions[0].labels[0]
    assert label.decision is Decision.REVIEW
    assert "not calibrated" in label.reasons[-1]


def test_only_the_surest_labels_of_an_image_are_guaranteed() -> None:
    row = scored_rows(1)[0]
    guarded(threshold=0.0, most=2).decide_rows([row])
    labels = [label for region in row.regions for label in region.labels]
    accepted = [label for label in labels if label.decision is Decision.ACCEPT]
    reviewed = [label for label in labels if label.decision is Decision.REVIEW]
    assert len(accepted) == 2
    lowest, highest = min(label.confidence for label in accepted), max(label.confidence for label in reviewed)  # type: ignore[type-var]
    assert lowest >= highest  # type: ignore[operator]
    assert "the guarantee covers no more" in reviewed[0].reasons[-1]


def test_if_only_accepted_labels_were_audited_others_stay_in_review() -> None:
    row = scored_rows(1)[0]
    row.regions[0].labels[0].decision = Decision.REVIEW
    row.regions[1].labels[0].decision = Decision.AUDIT
    router = guarded(threshold=0.0)
    router.acceptances[BRIEF] = router.acceptances[BRIEF].model_copy(update={"only_accepted_before": True})
    router.decide_rows([row])
    decided = [region.labels[0].decision for region in row.regions]
    assert decided == [Decision.REVIEW, Decision.ACCEPT, Decision.REVIEW, Decision.REVIEW]
    assert "only the other labels were audited" in row.regions[0].labels[0].reasons[-1]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_audit_draws_its_share_of_accepted_labels_by_seed(share: float) -> None:
    def routed(seed: int) -> list[ImageRow]:
        rows = scored_rows(120)
        for row in rows:
            guarded(audit=share, seed=seed).decide_rows([row])
        return rows

    rows = routed(1)
    accepted = [label for label in labels_of(rows) if label.decision is not Decision.REVIEW]
    drawn = [label for label in accepted if label.decision is Decision.AUDIT]
    assert len(drawn) / len(accepted) == pytest.approx(share, abs=0.1)
    assert all(label.reasons == [DRAWN] for label in drawn)
    assert decisions(routed(1)) == decisions(rows)
    assert (decisions(routed(2)) != decisions(rows)) == (share == 0.3)


def test_people_are_not_overruled_and_moved_boxes_stay_in_review() -> None:
    row = scored_rows(1)[0]
    region = row.regions[0]
    region.labels[0] = confirmed(region.labels[0].model_copy(update={"confidence": 0.01}), "ann", "now")
    row.regions[1].labels[0] = made_stale(row.regions[1].labels[0])
    before = region.labels[0].model_copy(deep=True)
    guarded(threshold=0.0).decide_rows([row])
    assert region.labels[0] == before
    assert row.regions[1].labels[0].decision is Decision.REVIEW


def test_among_equals_the_image_with_the_most_different_objects_is_reviewed_whole() -> None:
    rows = scored_rows(12)
    for row in rows:
        for region in row.regions:
            region.brief_caption = region.labels[0].text = "cell"
        for label in row.all_labels():
            label.confidence = 0.0
    various = rows[7]
    for number, region in enumerate(various.regions):
        region.brief_caption = region.labels[0].text = f"thing {number}"
    size = sum(1 for _ in various.all_labels())
    with_budget(size, rows)
    reviewed = [
        row.image_id for row in rows for label in row.all_labels() if label.decision is Decision.REVIEW
    ]
    assert reviewed == [various.image_id] * size


def test_a_shorter_region_feature_can_be_planned_with() -> None:
    rows = scored_rows()
    for label in labels_of(rows):
        label.signals = [signal for signal in label.signals if signal.name not in ("feature_6", "feature_7")]
    with_budget(17, rows)
    assert [label.decision for label in labels_of(rows)].count(Decision.REVIEW) == 17


@pytest.mark.parametrize(("budget", "expected"), [(0, 0), (17, 17), (0.25, 50), (10_000, 200)])
def test_a_budget_is_spent_in_full_and_no_more(budget: float, expected: int) -> None:
    rows = scored_rows()
    with_budget(budget, rows)
    decided = [label.decision for label in labels_of(rows)]
    assert decided.count(Decision.REVIEW) == expected
    assert decided.count(Decision.ACCEPT) == len(decided) - expected


def test_the_choice_of_a_budget_does_not_depend_on_the_order_of_rows() -> None:
    rows, again = scored_rows(), scored_rows()[::-1]
    with_budget(30, rows)
    with_budget(30, again)
    assert decisions(rows) == decisions(again)


def test_a_budget_goes_to_the_likeliest_mistakes() -> None:
    rows = scored_rows()
    with_budget(40, rows)
    review = [label.confidence for label in labels_of(rows) if label.decision is Decision.REVIEW]
    accept = [label.confidence for label in labels_of(rows) if label.decision is Decision.ACCEPT]
    assert np.mean(review) < np.mean(accept) - 0.2  # type: ignore[arg-type]


def test_copies_of_one_mistake_do_not_fill_the_budget() -> None:
    rows = scored_rows()
    for number, row in enumerate(rows):
        for region in row.regions:
            label = region.labels[0]
            copied = number % 2 == 0
            label.text = "same thing" if copied else f"thing {number} {region.index}"
            label.confidence = 0.5 if copied else 0.55
            label.signals = [Signal(name=f"feature_{coordinate}", value=1.0) for coordinate in range(8)]
        row.groundings = []
    with_budget(20, rows)
    texts = [label.text for label in labels_of(rows) if label.decision is Decision.REVIEW]
    assert len(set(texts)) > 15


def test_whole_images_are_drawn_with_all_their_labels() -> None:
    rows = scored_rows()
    router = Router(RoutingSettings(review_budget=6, audit=0.3, whole_images=True), None, [])
    with_budget(6, rows, router)
    kinds = [{label.decision for label in row.all_labels()} for row in rows]
    assert all(len(decisions) == 1 for decisions in kinds)
    reviewed = [row for row in rows if row.decision is Decision.REVIEW]
    assert len(reviewed) == 6
    assert 3 <= sum(row.decision is Decision.AUDIT for row in rows) <= 20

    def doubt(row: ImageRow) -> float:
        return sum(1 - (label.confidence or 0.0) for label in row.all_labels())

    others = [doubt(row) for row in rows if row.decision is not Decision.REVIEW]
    assert np.mean([doubt(row) for row in reviewed]) > np.mean(others)
    share = Router(RoutingSettings(review_budget=0.5, whole_images=True), None, [])
    with_budget(0.5, rows, share)
    assert sum(row.decision is Decision.REVIEW for row in rows) == 20


def test_whole_images_with_a_guarantee_are_those_that_lack_it_most() -> None:
    rows = scored_rows()
    router = guarded(threshold=0.7, review_budget=5, whole_images=True)
    with_budget(5, rows, router)
    asked = [row for row in rows if any(is_for_people(label) for label in row.all_labels())]
    assert len(asked) == 5
    for row in asked:
        assert {label.decision for label in row.all_labels()} == {Decision.REVIEW}
    beyond = [label for label in labels_of(rows) if BEYOND_BUDGET in label.reasons]
    assert beyond
    assert not any(map(is_for_people, beyond))


def test_with_a_guarantee_the_budget_goes_to_labels_that_it_does_not_accept() -> None:
    rows = scored_rows()
    router = guarded(threshold=0.7, review_budget=12)
    with_budget(12, rows, router)
    beyond = [label for label in labels_of(rows) if BEYOND_BUDGET in label.reasons]
    review = [label for label in labels_of(rows) if label.decision is Decision.REVIEW]
    assert len(review) - len(beyond) == 12
    assert all(label.confidence is not None and label.confidence < 0.7 for label in review)


def test_without_a_calibration_token_probabilities_rank_and_the_reason_says_so() -> None:
    rows = [made_row(number) for number in range(40)]
    with_budget(40, rows)
    assert {label.decision for label in labels_of(rows)} == {Decision.REVIEW, Decision.UNREVIEWED}

    def mean_logprob(decision: Decision) -> float:
        decided = [label for label in labels_of(rows) if label.decision is decision]
        return float(np.mean([label.signals[0].value for label in decided]))

    assert mean_logprob(Decision.REVIEW) < mean_logprob(Decision.UNREVIEWED)
    reviewed = next(label for label in labels_of(rows) if label.decision is Decision.REVIEW)
    assert "not calibrated" in reviewed.reasons[-1]
    assert reviewed.confidence is None


def test_without_a_calibration_nothing_is_accepted_and_the_audit_is_drawn_all_the_same() -> None:
    rows = [made_row(number) for number in range(40)]
    with_budget(40, rows, Router(RoutingSettings(review_budget=40, audit=0.3), None, []))
    labels = labels_of(rows)
    assert {label.decision for label in labels} == {Decision.REVIEW, Decision.UNREVIEWED, Decision.AUDIT}
    assert not any(label.is_accepted for label in labels)
    for label in labels:
        assert label.is_unreviewed == (label.decision is not Decision.REVIEW)
        assert label.is_unreviewed == (UNREVIEWED in label.reasons)


def test_a_label_of_an_uncalibrated_kind_is_unreviewed_beside_accepted_ones() -> None:
    rows = scored_rows(4)
    for row in rows:
        for region in row.regions:
            region.labels[0].confidence = None
        Router(RoutingSettings(review_budget=0), None, []).decide_rows([row], set())
        assert {region.labels[0].decision for region in row.regions} == {Decision.UNREVIEWED}
        assert {part.label.decision for part in row.groundings} == {Decision.ACCEPT}
        assert row.decision is Decision.UNREVIEWED


def test_ranks_rise_with_every_signal_and_missing_signals_are_left_out() -> None:
    signals = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, np.nan], [np.nan, np.nan]])
    ranks = rank_of_trust(signals)
    assert ranks[0] < ranks[1] < ranks[2]
    assert ranks[3] == 0.5


def test_every_signal_with_a_direction_has_a_text_for_reviewers() -> None:
    directed = {name for name, spec in SIGNALS.items() if spec.direction}
    assert directed <= set(REASON_TEXTS) | set(FAULT_TEXTS)


def test_reasons_name_the_worst_signals_of_a_label() -> None:
    tables = [{"logprob_min": -0.1 * n, "absence_agreement": 0.9 + 0.001 * n} for n in range(50)]
    names = ["absence_agreement", "logprob_min"]
    columns = describe_columns(signal_matrix(tables, names), names, np.ones(50, dtype=bool))
    doubtful = {"logprob_min": -90.0, "absence_agreement": 0.1, "min_token_position": 1.0}
    reasons = reasons_for(doubtful, columns, "red striped square")
    assert "unsure of “striped”" in reasons
    assert "it may be absent" in reasons
    assert "it may be present after all" in reasons_for(doubtful, columns, "x", absent=True)
    assert reasons_for({"truncated": 1.0}, [], "x") == ["the answer was cut off at the token limit"]
    assert reasons_for(tables[20], columns, "x") == []
