"""Merging corrections: the next version holds what people said, in whatever parts; the rest is shared."""

import io

import pyarrow.parquet as pq
import pytest
from factories import make_count, make_dataset, make_label, make_row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_corrections import correct, corrections_of

from fo1_data.dataset.corrections.apply import apply_corrections
from fo1_data.dataset.corrections.latest import latest
from fo1_data.dataset.corrections.routed_like import routed_like
from fo1_data.dataset.corrections.sources import read_corrections
from fo1_data.dataset.human_labels import is_locked, is_stale
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.versions.compare import compare_datasets, differing_columns
from fo1_data.dataset.versions.derive import VersionWriter
from fo1_data.dataset.versions.merge import merge_corrections
from fo1_data.dataset.versions.publish import publish
from fo1_data.dataset.versions.remove import remove_image
from fo1_data.dataset.versions.split import split_dataset
from fo1_data.errors import DatasetError
from schemas.corrections import correction_line
from schemas.images import Grounding
from schemas.labels import Decision, LabelKind, Source, strictest


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
    writer.seal("9", list(old.rejects()), history=old.history())


def test_what_stood_there_first_is_kept_when_routing_comes_between(tmp_path):
    row = make_row(1, num_regions=3)
    make_dataset(tmp_path / "v1", [row])
    names = [region.region_id for region in row.regions]
    caption = {"kind": "brief_caption", "annotation_key": "7"}
    x0, y0, x1, y1 = row.regions[1].box_xyxy
    first = [
        correct(row, "recaptioned", region_id=names[0], after={"text": "a whale"}, **caption),
        correct(
            row, "moved", region_id=names[1], after={"box_xyxy": (x0 + 1, y0, x1, y1)}, annotation_key="7"
        ),
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


def test_labels_alike_keep_each_their_own_routing(tmp_path):
    """A phrase named twice, text that the corpus has too, and a count that goes down with a region."""
    row = make_row(1, num_regions=3)
    names = [region.region_id for region in row.regions]
    caption = LabelKind.GROUNDED_CAPTION
    row.caption, row.groundings = "a cat and a cat and a cat", [
        Grounding(phrase="a cat", kind=caption, region_ids=[name], label=make_label(caption, text))
        for name, text in zip(names, ("first", "second", "second"), strict=True)
    ]  # fmt: skip
    row.counts = [make_count(row.regions)]
    corpus, model = make_label(LabelKind.OCR, "EXIT", source=Source.CORPUS), make_label(LabelKind.OCR, "EXIT")
    row.regions[1].labels += [corpus, model]
    make_dataset(tmp_path / "v1", [row])
    changes = [
        correct(row, "deleted", region_id=names[2]),
        correct(row, "verdict", kind="grounded_caption", subject="a cat", right=False,
                before={"region_ids": names[:1]}),
    ]  # fmt: skip
    merge_corrections(str(tmp_path / "v1"), changes, str(tmp_path / "v2"))
    old = open_dataset(str(tmp_path / "v2"))
    corrected = next(old.rows())
    model_labels = corrected.answered_labels()
    for place, label in enumerate(model_labels):
        label.confidence = (place + 1) / 16
        label.decision = label.decision if is_stale(label) else Decision.ACCEPT
    for region in corrected.regions:
        region.decision = strictest(label.decision for label in region.labels)
    corrected.decision = strictest(label.decision for label in corrected.all_labels())
    first = old.history().originals[row.image_id]

    routed_first = routed_like(first, corrected, changes)

    again = apply_corrections(routed_first, changes).row
    assert not differing_columns(again, corrected)
    assert len(model_labels) == 6
    assert routed_first.regions[1].labels[1].confidence is None


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


def test_what_a_review_no_longer_says_is_taken_back(tmp_path):
    """An annotation that was merged and then deleted or skipped: the row is as if it had never been said."""
    rows = [make_row(seed) for seed in range(3)]
    make_dataset(tmp_path / "v1", rows)
    first, second = (
        correct(
            row, "recaptioned", region_id=row.regions[0].region_id, kind="brief_caption",
            after={"text": "a mistake"}, annotation_key=f"review/{number}",
        )
        for number, row in enumerate(rows[:2])
    )  # fmt: skip
    merge_corrections(str(tmp_path / "v1"), [first, second], str(tmp_path / "v2"))
    kept = merge_corrections(str(tmp_path / "v2"), [second], str(tmp_path / "file")).merged
    assert "withdrawn" not in kept
    report = merge_corrections(str(tmp_path / "v2"), [second], str(tmp_path / "v3"), reviews=["review"])
    assert report.merged["withdrawn"] == 1
    merge_corrections(str(tmp_path / "v1"), [second], str(tmp_path / "never"))
    assert compare_datasets(str(tmp_path / "v3"), str(tmp_path / "never")).is_empty
    assert set(open_dataset(str(tmp_path / "v3")).history().originals) == {rows[1].image_id}
    merge_corrections(str(tmp_path / "v3"), [], str(tmp_path / "v4"), reviews=["review"])
    assert compare_datasets(str(tmp_path / "v4"), str(tmp_path / "v1")).is_empty
    assert validate_dataset(str(tmp_path / "v4")) == []


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_counts_does_not_depend_on_the_parts_in_which_it_came(data):
    changes = [data.draw(corrections_of(row)) for row in (make_row(0), make_row(1)) for _ in range(3)]
    cut = data.draw(st.integers(0, len(changes)))
    in_parts = latest([*latest(changes[:cut]), *changes[cut:]])
    assert {change.correction_id for change in in_parts} == {
        change.correction_id for change in latest(changes)
    }


def test_a_merge_leaves_images_in_the_splits_that_they_were_given_since(tmp_path):
    rows = [make_row(seed) for seed in range(4)]
    make_dataset(tmp_path / "v1", rows)
    first, second = (
        [
            correct(
                row, "recaptioned", region_id=row.regions[0].region_id, kind="brief_caption",
                after={"text": text}, at=at, annotation_key=f"review/{text}",
            )
            for row in rows
        ]
        for text, at in (("late", "2026-11-25T10:00:00Z"), ("early", "2026-11-21T10:00:00Z"))
    )  # fmt: skip
    merge_corrections(str(tmp_path / "v1"), first, str(tmp_path / "v2"))
    split_dataset(str(tmp_path / "v2"), str(tmp_path / "v3"), {"test": 0.75}, max_distance=-1)
    given = {row.image_id: row.split for row in open_dataset(str(tmp_path / "v3")).rows()}
    assert set(given.values()) == {"train", "test"}
    merge_corrections(str(tmp_path / "v3"), second, str(tmp_path / "more"))
    merge_corrections(str(tmp_path / "v3"), [], str(tmp_path / "less"), reviews=["review"])
    for name, caption in (("more", "late"), ("less", rows[0].regions[0].brief_caption)):
        merged = {row.image_id: row for row in open_dataset(str(tmp_path / name)).rows()}
        assert validate_dataset(str(tmp_path / name)) == []
        assert {image_id: row.split for image_id, row in merged.items()} == given
        # What was said first and merged last does not hold, as if both were merged at once.
        assert merged[rows[0].image_id].regions[0].brief_caption == caption
