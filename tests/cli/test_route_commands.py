"""`fo1 calibrate`, `fo1 route` and routing while labelling: the same decisions, errors in one line."""

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from made_up_labels import MODEL_SHA256, made_row, write_dataset, write_gold
from typer.testing import CliRunner

from fo1_data.cli.main import app
from fo1_data.confidence.calibration import is_held_out
from fo1_data.confidence.calibration_file import read_calibration
from fo1_data.config import load_run
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.errors import CalibrationError, Fo1Error
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.work_done import WorkTracker
from fo1_data.runs.fingerprint import content_sha256
from fo1_data.runs.in_process import run_in_process
from schemas.corpus import CorpusImage
from schemas.corrections import Correction, correction_line
from schemas.images import ImageRow, Reject
from schemas.jobs import RunConfig
from schemas.labels import Decision, LabelKind

NUM_ROWS = 240


def fo1(*arguments: object) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def decided(address: Path) -> dict[str, list[tuple[Decision | None, float | None, list[str]]]]:
    return {
        row.image_id: [(label.decision, label.confidence, label.reasons) for label in row.all_labels()]
        for row in open_dataset(str(address)).rows()
    }


class MadeUpLabeller:
    """Labels `images/N.png` with the row that `made_row(N)` makes up."""

    def __init__(self, config: RunConfig) -> None:
        self.identity = LabellerIdentity(
            model_name="made-up",
            model_sha256=config.name or MODEL_SHA256,
            model_licence=None,
            proposer_name="corpus",
            proposer_sha256="cd" * 32,
            proposer_licence=None,
            prompts_version="1",
            dtype="float32",
        )

    def label_entries(
        self, entries: list[CorpusImage], tracker: WorkTracker
    ) -> tuple[list[ImageRow], list[Reject]]:
        rows = [made_row(int(Path(entry.uri).stem)) for entry in entries]
        for row, entry in zip(rows, entries, strict=True):
            row.uri, row.uris = entry.uri, [entry.uri]
        return rows, []

    def read_ahead(self, entries: list[CorpusImage]) -> None:
        """Reads nothing."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a labelled dataset, its gold and a calibration."""
    folder = tmp_path_factory.mktemp("routes")
    rows = [made_row(number) for number in range(NUM_ROWS)]
    write_dataset(folder / "dataset", rows)
    write_gold(folder / "gold.jsonl", rows)
    images = [str(folder / f"images/{number:05d}.png") for number in range(NUM_ROWS)]
    (folder / "corpus.txt").write_text("\n".join(images) + "\n")
    fo1("calibrate", folder / "dataset", "--gold", folder / "gold.jsonl", "--out", folder / "C.json")
    return folder


def test_calibrate_reports_its_kinds(made: Path, tmp_path: Path) -> None:
    report = fo1("calibrate", made / "dataset", "--gold", made / "gold.jsonl", "--out", tmp_path / "C.json")
    assert set(report["kinds"]) == {"brief_caption", "ground"}
    assert report["kinds"]["brief_caption"]["labels"] > 300
    assert (tmp_path / "C.json").read_bytes()[1:20] != b""


def test_route_makes_the_next_version_and_counts_its_decisions(made: Path, tmp_path: Path) -> None:
    before = decided(made / "dataset")
    rule = ("--calibration", made / "C.json", "--max-error", 0.3, "--audit", 0.2)
    counts = fo1("route", made / "dataset", *rule, "--out", tmp_path / "next")["counts"]
    assert counts["accepted"] > 0
    assert counts["audit"] > 0
    assert counts["review"] > 0
    assert counts["accepted"] + counts["audit"] + counts["review"] == NUM_ROWS * 5
    manifest = open_dataset(str(tmp_path / "next")).manifest
    assert (manifest.version, manifest.parent) == ("2", "made-up@1")
    assert manifest.calibration_sha256 is not None
    assert "held-out labels wrong" in manifest.routing["rules"]["brief_caption"]["told"]  # type: ignore[attr-defined]
    assert validate_dataset(str(tmp_path / "next")) == []
    assert decided(made / "dataset") == before
    # Routing a routed version again by the same rule changes nothing.
    fo1("route", tmp_path / "next", *rule, "--out", tmp_path / "again")
    assert decided(tmp_path / "again") == decided(tmp_path / "next")


@pytest.mark.parametrize(
    "settings",
    [
        {"max_error": 0.3, "audit": 0.2},
        {"review_budget": 100.0, "audit": 0.1},
        {"max_error": 0.3, "review_budget": 0.1},
        {},
    ],
)
def test_labelling_decides_as_routing_afterwards_does(
    made: Path, tmp_path: Path, settings: dict[str, float]
) -> None:
    def labelled(out: str, shard_size: int) -> Path:
        more = {
            "labels": "brief_caption,ground",
            "calibration": str(made / "C.json"),
            "shard_size": shard_size,
        }
        run = {"corpus": str(made / "corpus.txt"), "out": str(tmp_path / out), **more, **settings}
        run_in_process(load_run(None, run), factory=f"{__name__}:MadeUpLabeller")
        return tmp_path / out

    options = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", value)]
    fo1("route", made / "dataset", "--calibration", made / "C.json", *options, "--out", tmp_path / "routed")
    large, small = labelled("large-shards", 32), labelled("small-shards", 7)
    assert decided(large) == decided(small) == decided(tmp_path / "routed")
    counts = open_dataset(str(large)).manifest.counts
    assert counts == open_dataset(str(tmp_path / "routed")).manifest.counts
    confidences = [confidence for labels in decided(large).values() for _, confidence, _ in labels]
    assert None not in confidences
    assert validate_dataset(str(large)) == []


def test_a_cold_start_spends_its_budget_without_confidences(made: Path, tmp_path: Path) -> None:
    report = fo1("route", made / "dataset", "--review-budget", 60, "--out", tmp_path / "cold")
    assert report["counts"]["review"] == 60
    assert {label[1] for labels in decided(tmp_path / "cold").values() for label in labels} == {None}
    labels = sum(map(len, decided(tmp_path / "cold").values()))
    assert report["counts"]["accepted"] == report["counts"]["audit"] == 0
    assert report["counts"]["unreviewed"] == labels - 60
    manifest = json.loads((tmp_path / "cold" / "manifest.json").read_text())
    assert manifest["counts"]["unreviewed"] == labels - 60
    assert "no calibration stands behind" in (tmp_path / "cold" / "README.md").read_text()


def test_a_cold_start_says_what_unreviewed_means(made: Path, tmp_path: Path) -> None:
    arguments = ["route", str(made / "dataset"), "--review-budget", "60", "--out", str(tmp_path / "cold")]
    output = CliRunner().invoke(app, arguments, catch_exceptions=False).stdout
    assert "0 accepted, 0 for audit, 60 for review" in output
    assert "no calibration stands behind these labels" in output


def test_a_calibration_is_read_from_the_web(made: Path, tmp_path: Path) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=str(made))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/C.json"
        assert read_calibration(address) == read_calibration(str(made / "C.json"))
        assert content_sha256(address) == read_calibration(address)[1]
        server.shutdown()


def test_a_calibration_of_another_model_is_refused_or_forced(made: Path, tmp_path: Path) -> None:
    run = {"corpus": str(made / "corpus.txt"), "labels": "brief_caption", "calibration": str(made / "C.json")}
    other = {**run, "name": "ff" * 32}
    with pytest.raises(CalibrationError, match="--force"):
        run_in_process(
            load_run(None, {**other, "out": str(tmp_path / "a")}), factory=f"{__name__}:MadeUpLabeller"
        )
    forced = load_run(None, {**other, "out": str(tmp_path / "b"), "force": True})
    manifest = run_in_process(forced, factory=f"{__name__}:MadeUpLabeller")
    assert "made for other labels" in manifest.routing["warning"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "nothing to decide"),
        (("--max-error", 0.1), "needs --calibration"),
        (("--max-error", 2, "--calibration", "C.json"), "--max-error"),
        (("--review-budget", "inf"), "--review-budget"),
        (("--calibration", "nowhere.json"), "--calibration: cannot read .*nowhere.json"),
        (("--calibration", "somewhere/"), "--calibration: cannot read .*somewhere"),
    ],
)
def test_settings_that_decide_nothing_are_an_error_of_one_line(
    made: Path, tmp_path: Path, options: tuple[object, ...], message: str
) -> None:
    arguments = ["route", str(made / "dataset"), *map(str, options), "--out", str(tmp_path / "out")]
    with pytest.raises(Fo1Error, match=message) as caught:
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_labelling_refuses_a_guarantee_without_calibration() -> None:
    with pytest.raises(Fo1Error, match="needs a calibration"):
        load_run(None, {"corpus": "c", "out": "o", "max_error": 0.1})


def test_audited_labels_certify_and_other_reviewed_labels_only_train(made: Path, tmp_path: Path) -> None:
    fo1("route", made / "dataset", "--review-budget", 0.2, "--audit", 0.5, "--out", tmp_path / "routed")
    verdicts = []
    for row in open_dataset(str(tmp_path / "routed")).rows():
        for region in row.regions:
            label = region.labels[0]
            if label.decision in (Decision.AUDIT, Decision.REVIEW):
                fields = {
                    "image_id": row.image_id,
                    "region_id": region.region_id,
                    "kind": LabelKind.BRIEF_CAPTION,
                }
                right = label.text.startswith("right")
                lane = "audit" if label.decision is Decision.AUDIT else "review"
                verdicts.append(
                    Correction(**fields, action="verdict", right=right, lane=lane, at="2026-01-01T00:00:00Z")
                )
    path = tmp_path / "corrections.jsonl"
    path.write_text("".join(correction_line(verdict) + "\n" for verdict in verdicts))
    report = fo1("calibrate", tmp_path / "routed", "--gold", path, "--out", tmp_path / "C2.json")
    figures = report["kinds"]["brief_caption"]
    assert figures["scope"] == "accepted_before"
    audited = [verdict.image_id for verdict in verdicts if verdict.lane == "audit"]
    certifying = [image_id for image_id in audited if is_held_out(image_id, seed=0)]
    assert 0 < figures["certified_labels"] == len(certifying) < len(audited)
    # Reviewed labels depend on the certifying labels of their image, so they are not fitted on.
    assert figures["labels"] == sum(verdict.image_id not in certifying for verdict in verdicts)


def test_the_curve_says_what_each_bound_accepts_of_a_dataset(made: Path, tmp_path: Path) -> None:
    rule = ("--calibration", made / "C.json")
    curve = fo1("route", made / "dataset", *rule, "--curve")
    assert (curve["rows_read"], curve["labels"]) == (NUM_ROWS, NUM_ROWS * 5)
    shares = [point["accepted_share"] for point in curve["points"]]
    assert shares[0] == 0 < shares[-1]
    for point in curve["points"]:
        if point["accepted"]:
            assert point["expected_error"] < point["max_error"] + 0.1
    point = next(point for point in curve["points"] if point["max_error"] == 0.3)
    counts = fo1("route", made / "dataset", *rule, "--max-error", 0.3, "--out", tmp_path / "next")["counts"]
    assert counts["accepted"] == point["accepted"] > 0
    manifest = open_dataset(str(tmp_path / "next")).manifest
    assert (manifest.routing or {})["calibration"] == str(made / "C.json")


@pytest.mark.parametrize(
    ("arguments", "message"), [(["--curve"], "needs --calibration"), (["--audit", 0.1], "--out is missing")]
)
def test_what_route_misses_is_told_in_a_line(made: Path, arguments: list[object], message: str) -> None:
    with pytest.raises(Fo1Error, match=message):
        CliRunner().invoke(
            app, ["route", str(made / "dataset"), *map(str, arguments)], catch_exceptions=False
        )


def test_a_route_without_a_bound_says_that_nothing_is_decided(made: Path, tmp_path: Path) -> None:
    rule = ["route", str(made / "dataset"), "--calibration", str(made / "C.json"), "--out"]
    none = CliRunner().invoke(app, [*rule, str(tmp_path / "none")])
    some = CliRunner().invoke(app, [*rule, str(tmp_path / "some"), "--max-error", "0.3"])
    assert [none.exit_code, some.exit_code] == [0, 0]
    assert "nothing is decided without --max-error" in none.output
    assert "nothing is decided without" not in some.output
