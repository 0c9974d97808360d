"""A second model's answers: they add one signal to unsure labels and change nothing else."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fo1_data.cli.main import app
from fo1_data.dataset.counting import count_rows
from fo1_data.errors import CheckpointError
from fo1_data.labelling.image_labeller import ImageLabeller
from fo1_data.labelling.model_files import ModelFiles
from fo1_data.synthetic.gold import gold_of
from fo1_data.synthetic.scenes import make_scene
from schemas.corpus import CorpusImage
from schemas.images import ImageRow
from schemas.jobs import RunConfig
from schemas.labels import Label, LabelKind
from tests.opinions.chat_server import chat_server

LABELS = "brief_caption,ground,ocr"


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[CorpusImage]:
    folder: Path = tmp_path_factory.mktemp("scenes")
    entries = []
    for seed in range(70, 72):
        scene = make_scene(seed, (2, 4))
        path = folder / f"{seed}.png"
        scene.image.save(path)
        entries.append(gold_of(scene, str(path)))
    return entries


def _labeller(**settings: object) -> ImageLabeller:
    given = {"corpus": "scenes", "out": "unused", "proposals": "corpus", "labels": LABELS}
    limits = {"second_questions": "none", "max_new_tokens": 24, "unsure_below": 1.0}
    return ImageLabeller(RunConfig.model_validate({**given, **limits, **settings}))


def _rows(labeller: ImageLabeller, entries: Sequence[CorpusImage]) -> list[ImageRow]:
    rows, rejects = labeller.label_entries(list(entries))
    assert rejects == []
    return rows


def _signal(label: Label, name: str) -> float | None:
    return next((signal.value for signal in label.signals if signal.name == name), None)


def _opinion(label: Label) -> float | None:
    return _signal(label, "second_opinion")


def _without_opinions(rows: Sequence[ImageRow]) -> list[dict[str, object]]:
    plain = []
    for row in rows:
        copy = row.model_copy(deep=True)
        for label in copy.answered_labels():
            label.signals = [signal for signal in label.signals if signal.name != "second_opinion"]
        plain.append(copy.model_dump(exclude={"provenance"}))
    return plain


def test_the_same_model_agrees_with_itself_and_changes_no_label(entries: list[CorpusImage]) -> None:
    alone = _rows(_labeller(), entries)
    doubled = _rows(_labeller(second_opinion="fo1-tiny"), entries)
    captions = [
        label
        for row in doubled
        for region in row.regions
        for label in region.labels
        if label.kind is LabelKind.BRIEF_CAPTION
    ]
    assert captions
    assert {_opinion(label) for label in captions} == {1.0}
    assert _without_opinions(doubled) == _without_opinions(alone)


def test_only_labels_that_are_unsure_are_asked_about_and_each_region_once(
    entries: list[CorpusImage],
) -> None:
    with chat_server(lambda *_: "purple elephant") as server:
        sure = _rows(_labeller(second_opinion=f"{server.url}#tiny", unsure_below=0.0), entries)
        assert server.asked == 0
        rows = _rows(_labeller(second_opinion=f"{server.url}#tiny"), entries)
        # A caption and a text for each region; phrases take what was said of the region they name.
        assert server.asked == 2 * sum(len(row.regions) for row in rows)
    assert all(_opinion(label) is None for row in sure for label in row.answered_labels())
    told = Counter(label.kind for row in rows for label in row.answered_labels() if _opinion(label) == 0.0)
    assert told[LabelKind.BRIEF_CAPTION] == sum(len(row.regions) for row in rows)
    assert told[LabelKind.GROUND] > 0
    absent = [g for row in rows for g in row.groundings if not g.region_ids]
    assert all(_opinion(grounding.label) is None for grounding in absent)


def test_a_region_without_an_answer_has_no_opinion_and_is_counted(entries: list[CorpusImage]) -> None:
    with chat_server(lambda *_: "purple elephant") as server:
        server.refusals += [200, 400]
        rows = _rows(_labeller(second_opinion=f"{server.url}#tiny", labels="brief_caption"), entries)
    labels = [label for row in rows for label in row.answered_labels()]
    assert [_opinion(label) is None for label in labels].count(True) == 1
    assert [_signal(label, "second_opinion_refused") for label in labels if _opinion(label) is None] == [1.0]
    assert count_rows(rows).refused_opinions == 1


def test_a_run_says_how_many_labels_have_no_opinion(entries: list[CorpusImage], tmp_path: Path) -> None:
    corpus = tmp_path / "annotations.jsonl"
    corpus.write_text(json.dumps({"image": entries[0].uri, "regions": [{"box_xyxy": [9, 9, 99, 99]}]}))
    with chat_server(lambda *_: "never") as server:
        server.refusals += [422]
        arguments = ["label", str(corpus), "--out", str(tmp_path / "out"), "--labels", "brief_caption"]
        arguments += ["--second-opinion", f"{server.url}#tiny", "--unsure-below", "1"]
        result = CliRunner().invoke(app, [*arguments, "--address", "in-process", "--json"])
    assert json.loads(result.stdout)["counts"]["refused_opinions"] == 1
    assert "the second opinion gave no answer about regions of 1 label" in result.stderr


def test_what_is_no_model_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    config = RunConfig.model_validate(
        {"corpus": "c", "out": "o", "second_opinion": str(tmp_path), "device": "cpu"}
    )
    with pytest.raises(CheckpointError, match="no readable config"):
        ModelFiles(config, loads_here=True).check()
