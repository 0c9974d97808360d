"""Labels that no correction can hold are named in `ignored`: found by `make fuzz`."""

from typing import Any

import pytest
from review_samples import make_shown

from services.label_studio.annotated import ParsedAnnotation, parse_result
from services.label_studio.convert import result_of
from services.review.inbox.deliveries import parse_webhook

BOX = {"x": 1, "y": 2, "width": 30, "height": 40}


def parsed(**added: Any) -> ParsedAnnotation:
    """What is shown, left alone, with one result more."""
    shown = make_shown()
    return parse_result([*result_of(shown), {"id": "new", "to_name": "image", **added}], shown)


def test_labels_without_a_shape_are_named() -> None:
    annotated = parsed(from_name="tags", type="labels", value={"labels": ["cat"]})
    assert annotated.ignored == ["tags (labels without a shape)"]


def test_of_two_classes_of_a_box_the_last_counts_and_the_first_is_named() -> None:
    annotated = parsed(
        from_name="kind", type="rectanglelabels", value={**BOX, "rectanglelabels": ["cat", "dog"]}
    )
    assert annotated.regions["new"].label == "dog"
    assert annotated.ignored == ["kind: cat, a second class of a box"]


def test_labels_that_are_objects_are_taken_as_text() -> None:
    annotated = parsed(from_name="kind", type="rectanglelabels", value={**BOX, "rectanglelabels": [{"a": 1}]})
    assert annotated.regions["new"].label == "{'a': 1}"


@pytest.mark.parametrize("name", [["tags"], {"a": 1}, 7])
def test_a_relation_of_a_control_without_a_name_cannot_be_read(name: object) -> None:
    with pytest.raises(ValueError, match="no control"):
        parsed(from_name=name, type="relation")


@pytest.mark.parametrize("updated_at", ["\ud800", "2026\0", "a\nb", 7, ["2026"], "", "x" * 300])
def test_a_webhook_whose_time_cannot_be_stored_is_noted_without_it(updated_at: object) -> None:
    annotation = {"id": 3, "task": 4, "updated_at": updated_at}
    (delivery,) = parse_webhook("rev_1", {"action": "ANNOTATION_CREATED", "annotation": annotation})
    assert (delivery.ls_task_id, delivery.ls_annotation_id, delivery.expects) == (4, 3, None)
