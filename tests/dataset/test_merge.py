"""Merging corrections: the next version holds what people said, whatever the order and number of parts."""

import io
import json

import pyarrow.parquet as pq
import pytest
from factories import make_count, make_dataset, make_label, make_row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fo1_data.dataset.apply_corrections import apply_corrections
from fo1_data.dataset.compare import compare_datasets, differing_columns
from fo1_data.dataset.correction_sources import read_corrections
from fo1_data.dataset.derive import VersionWriter
from fo1_data.dataset.human_labels import caption_label, is_locked, is_stale
from fo1_data.dataset.lineage import describe_inputs, trace, write_lineage
from fo1_data.dataset.merge import merge_corrections
from fo1_data.dataset.publish import accepted_part, publish
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.remove import remove_image
from fo1_data.dataset.rows import rows_to_table, table_to_rows
from fo1_data.dataset.validate import row_problems, validate_dataset
from fo1_data.errors import ConfigError, DatasetError
from schemas.corrections import Correction, CorrectionAction, correction_line, parse_corrections
from schemas.images import Grounding
from schemas.labels import Decision, LabelKind, Source, strictest

AT = "2026-11-24T10:00:00Z"


def correct(row, action, **fields):
    values = {"image_id": row.image_id, "action": action, "at": AT, "annotator": "ada", **fields}
    return Correction.model_validate(values)


@pytest.fixture
def row():
    made = make_row(3, num_regions=3, decisions=[Decision.REVIEW, Decision.ACCEPT, Decision.REVIEW])
    return made.model_copy(update={"counts": [make_count(made.regions)]})


def test_a_moved_box_takes_its_name_along(row):
    old = row.regions[0].region_id
    box = (1.0, 1.0, 30.5, 20.0)
    moved = correct(row, "moved", region_id=old, after={"box_xyxy": box})
    after = apply_corrections(row, [moved]).row
    assert after.regions[0].box_xyxy == box
    assert after.regions[0].box_source is Source.HUMAN
    assert after.groundings[0].region_ids == [moved.new_region_id] == [after.regions[0].region_id]
    assert is_stale(after.regions[0].labels[0])
    assert after.regions[0].decision is Decision.REVIEW
    assert not list(row_problems(after))


def test_what_is_said_of_a_moved_region_finds_it_by_either_name(row):
    old = row.regions[0].region_id
    moved = correct(row, "moved", region_id=old, after={"box_xyxy": (1, 1, 30, 20)})
    for name in (old, moved.new_region_id):
        said = correct(row, "recaptioned", region_id=name, kind="brief_caption", after={"text": "a whale"})
        region = apply_corrections(row, [said, moved]).row.regions[0]
        assert region.brief_caption == "a whale"
        assert region.labels[-1].source is Source.HUMAN
        assert region.labels[-1].annotator == "ada"
        assert any(AT[:19] in reason for reason in region.labels[-1].reasons)
        assert region.decision is Decision.ACCEPT


def test_added_and_deleted_regions(row):
    gone = row.regions[0].region_id
    added = correct(row, "added", after={"box_xyxy": (2, 3, 11, 12)})
    said = correct(
        row, "recaptioned", region_id=added.new_region_id, kind="brief_caption", after={"text": "new"}
    )
    after = apply_corrections(row, [said, correct(row, "deleted", region_id=gone), added]).row
    assert [region.brief_caption for region in after.regions][-1] == "new"
    assert gone not in {region.region_id for region in after.regions}
    assert after.groundings[0].region_ids == []
    assert after.counts[0].count == 2
    assert not list(row_problems(after))


def test_verdicts_confirm_or_take_away(row):
    first, second = row.regions[0], row.regions[1]
    right = correct(
        row, "verdict", region_id=first.region_id, kind="brief_caption", right=True,
        before={"text": first.brief_caption},
    )  # fmt: skip
    wrong = correct(row, "verdict", region_id=second.region_id, kind="brief_caption", right=False)
    other = correct(
        row, "verdict", region_id=row.regions[2].region_id, kind="brief_caption", right=False,
        before={"text": "what it never said"},
    )  # fmt: skip
    applied = apply_corrections(row, [right, wrong, other])
    after = applied.row.regions
    assert after[0].labels[0].decision is Decision.ACCEPT
    assert is_locked(after[0].labels[0])
    assert after[0].labels[0].source is Source.MODEL
    assert after[1].brief_caption is None
    assert after[1].labels == []
    assert after[2] == row.regions[2]
    assert applied.left_out == [other]


def test_phrases_counts_and_classes(row):
    ids = [region.region_id for region in row.regions]
    changes = [
        correct(row, "regrounded", subject="a red square", after={"region_ids": ids[1:]}),
        correct(row, "regrounded", subject="a yeti", after={"region_ids": []}),
        correct(row, "recounted", subject="shape", after={"count": 7}),
        correct(row, "renamed", region_id=ids[2], after={"text": "cat"}),
        correct(row, "answered", subject="What is it?", after={"text": "a cat"}),
    ]
    after = apply_corrections(row, changes).row
    pointed = {(part.kind, part.phrase): part for part in after.groundings}
    assert pointed[LabelKind.GROUND, "a red square"].region_ids == ids[1:]
    assert pointed[LabelKind.GROUND, "a yeti"].region_ids == []
    assert pointed[LabelKind.DETECT, "cat"].region_ids == [ids[2]]
    assert after.counts[0].count == 7
    assert after.counts[0].region_ids == []
    assert after.answers[0].answer == "a cat"
    assert all(is_locked(label) for label in (after.counts[0].label, after.answers[0].label))
    assert not list(row_problems(after))


def test_the_last_word_holds_and_ground_truth_is_the_last(row):
    name = row.regions[0].region_id

    def said(text, at, **more):
        fields = {"region_id": name, "kind": "brief_caption", "after": {"text": text}, "at": at, **more}
        return correct(row, "recaptioned", **fields)

    early, late = said("early", "2026-01-01T00:00:00Z"), said("late", "2026-01-02T00:00:00+02:00")
    truth = said("truth", "2025-01-01T00:00:00Z", ground_truth=True)
    assert apply_corrections(row, [late, early]).row.regions[0].brief_caption == "late"
    assert apply_corrections(row, [truth, late, early]).row.regions[0].brief_caption == "truth"


def test_an_annotation_submitted_again_replaces_what_it_said_before(row):
    name = row.regions[0].region_id
    hasty = correct(row, "deleted", region_id=name, annotation_key="7")
    again = correct(
        row, "verdict", region_id=name, kind="brief_caption", right=True, annotation_key="7",
        at="2026-11-24T11:00:00Z",
    )  # fmt: skip
    after = apply_corrections(row, [hasty, again]).row
    assert after.regions[0].region_id == name
    assert is_locked(after.regions[0].labels[0])


def detected(row, phrase, places, decision=Decision.REVIEW, kind=LabelKind.DETECT):
    ids = [row.regions[place].region_id for place in places]
    label = make_label(kind, phrase, decision, confidence=0.4)
    return Grounding(phrase=phrase, kind=kind, region_ids=ids, label=label)


def test_a_renamed_region_makes_no_person_of_who_named_the_others(row):
    row.groundings = [detected(row, "cat", [0, 1]), detected(row, "dog", [2]), detected(row, "cow", [])]
    names = [region.region_id for region in row.regions]
    change = correct(row, "renamed", region_id=names[1], before={"text": "cat"}, after={"text": "dog"})
    after = {part.phrase: part for part in apply_corrections(row, [change]).row.groundings}
    assert (after["cat"].region_ids, after["dog"].region_ids) == (names[:1], [names[2], names[1]])
    for phrase in ("cat", "dog"):
        assert (after[phrase].label.source, after[phrase].label.decision) == (Source.MODEL, Decision.REVIEW)
    again = [correct(row, "renamed", region_id=name, after={"text": "cow"}) for name in names[:2]]
    after = {part.phrase: part for part in apply_corrections(row, [change, *again]).row.groundings}
    assert after["cow"].region_ids == names[:2]
    assert is_locked(after["cow"].label)


def test_the_images_caption_is_the_persons_who_wrote_or_confirmed_it(row):
    row.caption = "a red square lies here"
    row.groundings = [detected(row, "a red square", [0], kind=LabelKind.GROUNDED_CAPTION)]
    about = {"kind": "grounded_caption", "before": {"text": row.caption}}
    assert accepted_part(row).caption is None
    for change in (
        correct(row, "recaptioned", **about, after={"text": "a red square and a whale"}),
        correct(row, "verdict", **about, right=True),
    ):
        after = apply_corrections(row, [change]).row
        label = caption_label(after)
        assert (label.text, label.annotator, label.decision) == (after.caption, "ada", Decision.ACCEPT)
        assert any(AT[:19] in reason for reason in label.reasons)
        assert json.loads(after.meta)["made"] == "up"
        assert accepted_part(after).caption == after.caption
        assert not list(row_problems(after))
    wrong = apply_corrections(row, [correct(row, "verdict", **about, right=False)]).row
    assert (wrong.caption, caption_label(wrong), wrong.meta) == (None, None, row.meta)


def test_a_models_caption_is_accepted_with_its_phrases_alone(row):
    row.caption = "something red"
    row.groundings = []
    assert accepted_part(row, caption_was_asked=True).caption is None
    assert accepted_part(row).caption == row.caption
    row.groundings = [detected(row, "red", [0], Decision.ACCEPT, LabelKind.GROUNDED_CAPTION)]
    assert accepted_part(row, caption_was_asked=True).caption == row.caption


def test_a_box_outside_of_the_image_is_left_out(row):
    far = correct(row, "moved", region_id=row.regions[0].region_id, after={"box_xyxy": (900, 900, 990, 990)})
    applied = apply_corrections(row, [far])
    assert applied.left_out == [far]
    assert differing_columns(applied.row, row) == []


# Two of them hold what ends a line elsewhere than in a file of JSON Lines.
TEXTS = st.sampled_from(["red square", "a whale", "", "zebra", "a\u2028b", "\u0085c\x0b\u2029"])
TIMES = st.sampled_from([f"2026-11-2{day}T10:00:00Z" for day in range(1, 6)])
CORNERS = st.sampled_from([0.0, 3.3, 7.0, 12.4, 20.0])


@st.composite
def corrections_of(draw, row):
    """Any correction of a row, sound or stale, of its regions or of those that others draw."""
    x, y = draw(CORNERS), draw(CORNERS)
    box = (x, y, x + draw(st.sampled_from([5.0, 9.5])), y + 6.0)
    drawn = correct(row, "added", after={"box_xyxy": box}).new_region_id
    names = st.sampled_from([*(region.region_id for region in row.regions), drawn, "nobody/1-2-3-4"])
    action = draw(st.sampled_from(list(CorrectionAction)))
    fields = {"at": draw(TIMES), "annotation_key": draw(st.sampled_from(["", "a", "b"]))}
    region, text = draw(names), draw(TEXTS)
    by_action = {
        CorrectionAction.VERDICT: {
            "region_id": region, "kind": "brief_caption", "right": draw(st.booleans()),
            "before": draw(st.sampled_from([None, {"text": text}])),
        },
        CorrectionAction.MOVED: {"region_id": region, "after": {"box_xyxy": box}},
        CorrectionAction.ADDED: {"after": {"box_xyxy": box}},
        CorrectionAction.DELETED: {"region_id": region},
        CorrectionAction.RENAMED: {"region_id": region, "after": {"text": text or "thing"}},
        CorrectionAction.RECAPTIONED: {"region_id": region, "kind": "brief_caption", "after": {"text": text}},
        CorrectionAction.REGROUNDED: {"subject": "a red square", "after": {"region_ids": [region]}},
        CorrectionAction.RECOUNTED: {"subject": "shape", "after": {"count": len(text)}},
        CorrectionAction.ANSWERED: {"subject": "What?", "after": {"text": text}},
    }  # fmt: skip
    return correct(row, action, **by_action[action], **fields)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_corrections_leave_a_sound_row_whatever_their_order(data):
    row = make_row(3, num_regions=3)
    row = row.model_copy(update={"counts": [make_count(row.regions)]})
    changes = data.draw(st.lists(corrections_of(row), max_size=8))
    shuffled = data.draw(st.permutations(changes))
    after = apply_corrections(row, changes).row
    assert apply_corrections(row, [*shuffled, *changes]).row == after
    assert not list(row_problems(after))
    assert list(table_to_rows(rows_to_table([after]))) == [after]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_twice_and_in_parts_gives_the_same_rows(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("merge")
    rows = [make_row(seed) for seed in range(3)]
    make_dataset(folder / "v1", rows, rows_a_shard=1)
    changes = [data.draw(corrections_of(row)) for row in rows for _ in range(3)]
    cut = data.draw(st.integers(1, len(changes) - 1))
    mixed = data.draw(st.permutations(changes))
    merge_corrections(str(folder / "v1"), changes, str(folder / "once"))
    merge_corrections(str(folder / "once"), changes, str(folder / "twice"))
    merge_corrections(str(folder / "v1"), mixed[:cut], str(folder / "part"))
    merge_corrections(str(folder / "part"), mixed[cut:], str(folder / "parts"))
    for other in ("twice", "parts"):
        assert compare_datasets(str(folder / "once"), str(folder / other)).is_empty
        assert validate_dataset(str(folder / other)) == []


def test_a_merge_makes_the_next_version_and_shares_what_it_leaves_alone(tmp_path):
    rows = [make_row(seed) for seed in range(6)]
    make_dataset(tmp_path / "v1", rows, rows_a_shard=2)
    before = {path.name: path.read_bytes() for path in (tmp_path / "v1" / "data").iterdir()}
    change = correct(
        rows[0], "recaptioned", region_id=rows[0].regions[0].region_id, kind="brief_caption",
        after={"text": "a whale"},
    )  # fmt: skip
    report = merge_corrections(str(tmp_path / "v1"), [change], str(tmp_path / "v2"))
    assert validate_dataset(str(tmp_path / "v2")) == []
    assert report.manifest.version == "2"
    assert report.manifest.parent == "made-up@1"
    assert report.merged["recaptioned"] == report.merged["images"] == report.merged["files_rewritten"] == 1
    assert report.merged["files_shared"] == 2
    shared = [path for path in (tmp_path / "v2" / "data").iterdir() if path.stat().st_nlink == 2]
    assert len(shared) == 2
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "v1" / "data").iterdir()}
    found = compare_datasets(str(tmp_path / "v1"), str(tmp_path / "v2"))
    assert list(found.changed) == [rows[0].image_id]
    assert found.regions[rows[0].image_id]["relabelled"] == [rows[0].regions[0].region_id]
    assert found.merged == report.merged


def routed(dataset, out, decision):
    """The dataset at `dataset` with other decisions, as routing makes it."""
    rows = [row.model_copy(deep=True) for row in open_dataset(str(dataset)).rows()]
    for row in rows:
        for label in row.all_labels():
            label.confidence = label.confidence if is_locked(label) else 0.25
            if not is_locked(label) and not is_stale(label):
                label.decision, label.reasons = decision, ["routed"]
        for region in row.regions:
            region.decision = strictest(label.decision for label in region.labels)
        row.decision = strictest(label.decision for label in row.all_labels())
    old = open_dataset(str(dataset))
    writer = VersionWriter(str(out), old.manifest, {"route": decision.value}, str(dataset))
    for row in rows:
        writer.add(row)
    writer.finish("9", list(old.rejects()), history=old.history())


def test_what_stood_there_first_is_kept_when_routing_comes_between(tmp_path):
    row = make_row(1, num_regions=3)
    make_dataset(tmp_path / "v1", [row])
    names = [region.region_id for region in row.regions]
    caption = {"kind": "brief_caption", "annotation_key": "7"}
    first = [
        correct(row, "recaptioned", region_id=names[0], after={"text": "a whale"}, **caption),
        correct(row, "moved", region_id=names[1], after={"box_xyxy": (1, 1, 30, 20)}, annotation_key="7"),
        correct(row, "deleted", region_id=names[2], annotation_key="7"),
    ]
    merge_corrections(str(tmp_path / "v1"), first, str(tmp_path / "v2"))
    routed(tmp_path / "v2", tmp_path / "v3", Decision.ACCEPT)
    # The same annotation, submitted again: only the first caption was wrong.
    again = correct(
        row,
        "recaptioned",
        region_id=names[0],
        after={"text": "a shark"},
        at="2026-11-25T10:00:00Z",
        **caption,
    )
    report = merge_corrections(str(tmp_path / "v3"), [again], str(tmp_path / "v4"))
    assert (report.merged["recaptioned"], report.merged["images"]) == (1, 1)
    assert not {"moved", "deleted"} & set(report.merged)
    dataset = open_dataset(str(tmp_path / "v4"))
    after, original = next(dataset.rows()), dataset.history().originals[row.image_id]
    assert [region.region_id for region in after.regions] == names
    assert after.regions[0].brief_caption == "a shark"
    assert [region.brief_caption for region in original.regions] == [r.brief_caption for r in row.regions]
    # What only routing changed is as it was routed last.
    assert after.groundings[0].label.reasons == ["routed"]


def test_corrections_of_another_dataset_are_refused(tmp_path):
    make_dataset(tmp_path / "v1", [make_row(1)])
    stray = correct(make_row(9), "added", after={"box_xyxy": (0, 0, 5, 5)})
    with pytest.raises(DatasetError, match="belong to another dataset"):
        merge_corrections(str(tmp_path / "v1"), [stray], str(tmp_path / "v2"))


def test_history_follows_into_what_is_published_and_leaves_with_its_image(tmp_path):
    rows = [make_row(seed, folder=tmp_path / "images") for seed in range(3)]
    make_dataset(tmp_path / "v1", rows)
    changes = [correct(row, "deleted", region_id=row.regions[0].region_id) for row in rows]
    merge_corrections(str(tmp_path / "v1"), changes, str(tmp_path / "v2"))
    publish(str(tmp_path / "v2"), str(tmp_path / "published"))
    assert len(open_dataset(str(tmp_path / "published")).history().corrections) == 3
    remove_image(str(tmp_path / "v2"), rows[0].image_id, str(tmp_path / "v3"))
    history = open_dataset(str(tmp_path / "v3")).history()
    assert set(history.originals) == set(history.by_image()) == {row.image_id for row in rows[1:]}
    stored = b"".join(path.read_bytes() for path in (tmp_path / "v3" / "corrections").iterdir())
    assert rows[0].image_id.encode() not in stored
    originals = pq.read_table(io.BytesIO((tmp_path / "v3/corrections/originals.parquet").read_bytes()))
    assert originals.column("image").combine_chunks().field("bytes").null_count == 2


def test_what_a_person_wrote_may_hold_any_line_separator(tmp_path):
    row = make_row(1)
    make_dataset(tmp_path / "v1", [row])
    text = "one\u2028two\u2029three\u0085four\x0b\x0c\x1efive\r\nsix"
    name = row.regions[0].region_id
    change = correct(row, "recaptioned", region_id=name, kind="detailed_caption", after={"text": text})
    (tmp_path / "c.jsonl").write_text(correction_line(change) + "\n")
    merge_corrections(str(tmp_path / "v1"), read_corrections(str(tmp_path / "c.jsonl")), str(tmp_path / "v2"))
    dataset = open_dataset(str(tmp_path / "v2"))
    assert list(dataset.history().corrections.values()) == [change]
    assert next(dataset.rows()).regions[0].detailed_caption == text


def test_a_version_is_traced_back_to_its_images(tmp_path):
    rows = [make_row(seed, folder=tmp_path / "images") for seed in range(3)]
    make_dataset(tmp_path / "v1", rows)
    change = correct(rows[0], "deleted", region_id=rows[0].regions[0].region_id)
    merge_corrections(str(tmp_path / "v1"), [change], str(tmp_path / "v2"))
    publish(str(tmp_path / "v2"), str(tmp_path / "published"))
    found = trace(str(tmp_path / "published"), with_images=True)
    versions = found["inputs"][0]["versions"]
    assert [one["version"] for one in versions] == ["made-up@2", "made-up@2", "made-up@1"]
    assert {image["uri"] for image in found["images"]} == {row.uri for row in rows}
    (tmp_path / "v1" / "manifest.json").unlink()
    assert trace(str(tmp_path / "v2"))["inputs"][0]["versions"][-1]["missing"] == "is gone"


def test_a_training_run_that_goes_on_adds_to_what_it_consumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        make_dataset(tmp_path / f"d{number}", [make_row(number)])
    out = tmp_path / "ckpt"
    out.mkdir()
    first, more = (describe_inputs([name], "fo1-tiny", "aa") for name in ("d1", "d2"))
    write_lineage(out, first)
    for _ in range(2):
        write_lineage(out, more, goes_on=True)
    monkeypatch.chdir("/")
    found = trace(str(out))
    assert [one["address"] for one in found["inputs"]] == [str(tmp_path / "d1"), str(tmp_path / "d2")]
    assert found["num_images"] == 2
    with pytest.raises(ConfigError, match="was begun from fo1-tiny"):
        write_lineage(out, {**more, "model": "other", "model_sha256": "bb"}, goes_on=True)
    write_lineage(out, {**more, "model": "other"})
    assert [len(trace(str(out))["inputs"]), trace(str(out))["model"]] == [1, "other"]


def test_a_file_of_corrections_reads_back_and_names_its_broken_line(row):
    change = correct(row, "deleted", region_id=row.regions[0].region_id, seconds=3.5, lane="audit")
    assert list(parse_corrections([correction_line(change), ""])) == [change]
    with pytest.raises(ValueError, match="line 2: moved needs region_id"):
        list(parse_corrections([
            correction_line(change),
            json.dumps({"image_id": "a", "action": "moved", "at": AT, "after": {"box_xyxy": [0, 0, 1, 1]}}),
        ]))  # fmt: skip
    with pytest.raises(ValueError, match="has no area"):
        correct(row, "added", after={"box_xyxy": (5, 5, 5, 9)})
