"""The report's figures of trust: the error of accepted labels, minutes saved, curves; from audit or gold."""

from pathlib import Path

import pytest
from factories import make_dataset, make_row

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.history import CorrectionHistory
from fo1_data.dataset.human_labels import confirmed
from fo1_data.dataset.label_columns import LabelColumns
from fo1_data.dataset.label_parts import label_parts
from fo1_data.dataset.manifest import read_manifest, write_manifest
from fo1_data.dataset.row_batches import rows_to_batch
from fo1_data.dataset.versions.merge import merge_corrections
from fo1_data.judging.correctness import Judged
from fo1_data.reports.curves import curve_chart, thinned, top_of_axis
from fo1_data.reports.page import write_report
from fo1_data.reports.pictures import picture_of
from fo1_data.reports.trust import (
    LabelVerdict,
    TrustFigures,
    estimate_error,
    seconds_per_label,
    trust_cards,
)
from fo1_data.storage.store import open_store
from schemas.corrections import Correction
from schemas.dataset import Counts
from schemas.images import ImageRow
from schemas.labels import Decision, LabelKind

AT = "2026-01-01T00:00:00Z"


def routed_rows(folder: Path, count: int = 12) -> list[ImageRow]:
    decisions = [Decision.AUDIT, Decision.ACCEPT, Decision.REVIEW]
    rows = [make_row(seed, 3, folder=folder, decisions=decisions) for seed in range(count)]
    for row in rows:
        for place, region in enumerate(row.regions):
            region.labels[0].confidence = 0.9 - 0.3 * place
    return rows


def verdicts(rows: list[ImageRow], wrong: int) -> list[Correction]:
    return [
        Correction(
            image_id=row.image_id, region_id=row.regions[0].region_id, kind=LabelKind.BRIEF_CAPTION,
            action="verdict", right=number >= wrong, lane="audit", at=AT, seconds=8.0,
            annotation_key=f"annotation-{number}",
        )
        for number, row in enumerate(rows)
    ]  # fmt: skip


def judge_by_place(row: ImageRow) -> list[Judged]:
    """Only the caption of the first region is right."""
    return [Judged(part, part.region.index == 0) for part in label_parts(row) if part.region is not None]


def test_the_audit_estimates_the_error_of_accepted_labels(tmp_path: Path) -> None:
    rows = routed_rows(tmp_path / "images")
    make_dataset(tmp_path / "d", rows)
    merge_corrections(str(tmp_path / "d"), verdicts(rows, wrong=3), str(tmp_path / "merged"))
    write_report(str(tmp_path / "merged"), str(tmp_path / "report.html"), num_images=1)
    page = (tmp_path / "report.html").read_text()
    assert "25.0 %</b>" in page
    assert "estimated error of accepted labels by the audit" in page
    assert "3 of 12 wrong" in page
    assert "at 8 s a label" in page


def test_without_an_audit_gold_estimates_the_error_and_draws_curves(tmp_path: Path) -> None:
    rows = routed_rows(tmp_path / "images")
    make_dataset(tmp_path / "d", rows)
    report = tmp_path / "report.html"
    write_report(str(tmp_path / "d"), str(report), num_images=1, judge_labels=judge_by_place)
    page = report.read_text()
    assert "estimated error of accepted labels by gold" in page
    assert "12 of 24 wrong" in page
    assert page.count('class="chart curve"') == 2


def test_the_report_of_an_unrouted_dataset_has_no_trust_section(tmp_path: Path) -> None:
    make_dataset(tmp_path / "d")
    write_report(str(tmp_path / "d"), str(tmp_path / "report.html"), num_images=1)
    assert 'id="trust"' not in (tmp_path / "report.html").read_text()


def test_only_rules_of_kinds_that_the_dataset_has_are_shown(tmp_path: Path) -> None:
    rows = routed_rows(tmp_path / "images")
    make_dataset(tmp_path / "d", rows)
    store = open_store(str(tmp_path / "d"))
    rules = {kind: {"told": f"the rule of {kind}"} for kind in ("brief_caption", "ocr")}
    write_manifest(store, read_manifest(store).model_copy(update={"routing": {"rules": rules}}))
    write_report(str(tmp_path / "d"), str(tmp_path / "report.html"), num_images=1)
    page = (tmp_path / "report.html").read_text()
    assert "the rule of brief_caption" in page
    assert "the rule of ocr" not in page


def test_a_phrase_that_a_caption_names_twice_is_one_chip(tmp_path: Path) -> None:
    row = make_row(1, folder=tmp_path / "images")
    once = picture_of(row, InputLimits())
    twice = picture_of(row.model_copy(update={"groundings": row.groundings * 2}), InputLimits())
    assert twice.phrases == once.phrases


def test_estimates_hold_the_share_and_narrow_with_more_images() -> None:
    few = estimate_error([LabelVerdict(f"{n}", 0.9, n % 5 > 0, True) for n in range(25)], 1)
    many = estimate_error([LabelVerdict(f"{n}", 0.9, n % 5 > 0, True) for n in range(400)], 1)
    assert few is not None
    assert many is not None
    for estimate in (few, many):
        assert estimate.low < estimate.error == 0.2 < estimate.high
    assert many.high - many.low < few.high - few.low
    assert estimate_error([], 1) is None


def test_the_interval_widens_for_unjudged_images_with_more_labels() -> None:
    """The bound holds for at most M labels of an image, over all images and not only the judged ones."""
    judged, larger = [make_row(seed, 2) for seed in range(30)], make_row(99, 12)
    judged_ids = {row.image_id for row in judged}

    def judge(row: ImageRow) -> list[Judged]:
        return judge_by_place(row) if row.image_id in judged_ids else []

    few, many = TrustFigures(), TrustFigures()
    for row in judged:
        for label in row.all_labels():
            label.decision, label.confidence = Decision.ACCEPT, 0.9
    for figures, rows in ((few, judged), (many, [*judged, larger])):
        figures.add(LabelColumns(rows_to_batch(rows)))
        figures.add_verdicts(verdict for row in rows for verdict in judge(row))
    narrow, wide = few.estimate(CorrectionHistory())[0], many.estimate(CorrectionHistory())[0]
    assert narrow is not None
    assert wide is not None
    assert (wide.judged, wide.wrong) == (narrow.judged, narrow.wrong)
    assert wide.low < narrow.low < narrow.error < narrow.high < wide.high


def test_minutes_saved_are_of_labels_that_are_not_pushed() -> None:
    """A pushed image shows all its labels, unless only those that are asked about are shown."""
    figures, rows = TrustFigures(), []
    for seed in range(80):
        decisions = [Decision.ACCEPT] * 5 if seed < 60 else [Decision.REVIEW, *[Decision.ACCEPT] * 4]
        row = make_row(seed, 5, decisions=decisions)
        row.groundings = []
        row.regions[4].labels[0] = confirmed(row.regions[4].labels[0], "ada", AT)
        rows.append(row)
    figures.add(LabelColumns(rows_to_batch(rows)))
    counts = Counts(accepted=380, review=20)
    cards = trust_cards(counts, None, "gold", 6.0, effort=figures.effort)
    assert [card[0] for card in cards] == ["95.0 %", "24 min"]
    assert "20 of 80 images with 100 labels; 20 with fo1 review push --asked-only" in cards[1][1]
    assert cards[1][1].endswith("which saves 30 min")
    assert trust_cards(Counts(), None, "gold", 6.0) == []


def test_unreviewed_labels_are_not_praised_as_accepted() -> None:
    counts = Counts(audit=50, unreviewed=900, review=50)
    cards = trust_cards(counts, None, "gold", 6.0, num_unreviewed=950)
    assert [card[0] for card in cards] == ["0.0 %", "95.0 %"]
    assert "no calibration stands behind" in cards[1][1]
    # Decided by an older version, which accepted labels without a calibration.
    assert trust_cards(Counts(accepted=950, review=50), None, "gold", 6.0, 950)[0][0] == "0.0 %"


def test_seconds_per_label_are_the_median_of_annotations() -> None:
    corrections = verdicts([make_row(seed, 1) for seed in range(3)], 0)
    corrections[0].seconds, corrections[1].seconds = 2.0, 100.0
    assert seconds_per_label(corrections) == 8.0
    assert seconds_per_label([]) == 5.0


def test_curves_escape_scale_and_thin() -> None:
    points = [(place / 1000, place / 20_000) for place in range(1001)]
    assert top_of_axis(points) == 0.1
    assert len(thinned(points)) <= 161
    assert thinned(points)[-1] == points[-1]
    chart = curve_chart(thinned(points), "<b>", "wrong", most_y=0.1, dots=True)
    assert "<b>" not in chart
    assert "&lt;b&gt;" in chart
    assert "Nothing to show" in curve_chart([], "x", "y")


@pytest.mark.parametrize("few", [0, 6])
def test_too_few_judged_labels_draw_no_curve(few: int) -> None:
    trust = TrustFigures()
    for seed in range(few):
        trust.add_verdicts(judge_by_place(make_row(seed, 3)))
    assert trust.charts() == []
