"""The classes that an export lists are those of its boxes."""

import json
from pathlib import Path

import pytest
from factories import make_dataset, make_label, make_row
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.dataset.exports.categories import CLASS_AGNOSTIC, class_names, region_classes
from fo1_data.dataset.exports.export import export_dataset
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.versions.publish import without_stale
from schemas.images import Grounding, ImageRow
from schemas.labels import LabelKind, Source


@st.composite
def detected_rows(draw: st.DrawFn, seed: int) -> ImageRow:
    """Regions with and without a label of the corpus or a detector; phrases, some of them stale."""
    row = make_row(seed, 3)
    for region in row.regions:
        region.source_label = draw(st.sampled_from((None, "", "tree", "Tree")))
        region.box_source = draw(st.sampled_from(Source))
    ids = st.lists(st.sampled_from([region.region_id for region in row.regions]), max_size=2)
    kinds = st.sampled_from((LabelKind.DETECT, LabelKind.DETECT, LabelKind.GROUND))
    row.groundings = [
        Grounding(phrase=phrase, kind=kind, region_ids=named, label=make_label(kind, box_moved=stale))
        for phrase, kind, named, stale in draw(
            st.lists(st.tuples(st.sampled_from(("dog", "cat")), kinds, ids, st.booleans()), max_size=4)
        )
    ]
    return row


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_class_names_are_the_classes_of_all_regions(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    rows = [data.draw(detected_rows(seed)) for seed in range(3)]
    folder = tmp_path_factory.mktemp("classes")
    make_dataset(folder / "d", rows)
    classes = [names for row in map(without_stale, rows) for names in region_classes(row).values()]
    expected = {name for names in classes for name in names}
    assert class_names(open_dataset(str(folder / "d"))) == sorted(expected)


def test_a_class_that_lost_its_ground_is_in_no_export(tmp_path: Path) -> None:
    """A region whose only detection is stale has no class of its own any more."""
    row = make_row(1, 1, folder=tmp_path / "images")
    stale = make_label(LabelKind.DETECT, "dog", box_moved=True)
    ids = [row.regions[0].region_id]
    row.groundings = [Grounding(phrase="dog", kind=LabelKind.DETECT, region_ids=ids, label=stale)]
    make_dataset(tmp_path / "d", [row])
    export_dataset(str(tmp_path / "d"), "coco", str(tmp_path / "coco"))
    document = json.loads((tmp_path / "coco" / "train.json").read_text())
    assert [category["name"] for category in document["categories"]] == [CLASS_AGNOSTIC]
    assert [annotation["category_id"] for annotation in document["annotations"]] == [1]
    export_dataset(str(tmp_path / "d"), "yolo", str(tmp_path / "yolo"))
    assert f'  0: "{CLASS_AGNOSTIC}"\n' in (tmp_path / "yolo" / "data.yaml").read_text()
