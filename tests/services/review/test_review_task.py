"""What a reviewer's task consists of: its fields, the order of the boxes, which stand out, and why."""

from pathlib import Path
from xml.etree import ElementTree

from factories import make_dataset, make_row
from fake_label_studio import FakeLabelStudio
from hypothesis import given
from hypothesis import strategies as st
from review_bench import open_bench, review_rows
from review_samples import asked_row, make_shown, shown_images

from fo1_data.confidence.routing import BEYOND_BUDGET
from schemas.images import ImageRow
from schemas.labels import Decision
from services.label_studio.closeups import closeups_html
from services.label_studio.convert import ls_task, result_of
from services.label_studio.labelling_config import (
    BOX,
    CLOSEUPS,
    COMMENT,
    FIELDS,
    FIND,
    IMAGE,
    VERDICT,
    control_names,
    label_config,
    live_config,
    with_fields,
)
from services.label_studio.labelling_styles import STYLES
from services.label_studio.shown import ShownImage, fields_of
from services.label_studio.shown_from_rows import shown_image

ALWAYS = {BOX, CLOSEUPS, COMMENT, IMAGE, VERDICT}
some_fields = st.frozensets(st.sampled_from(sorted(FIELDS)))


def row_of(*labels: tuple[float, Decision]) -> ImageRow:
    """A row with a caption of this confidence and decision for each region."""
    row = make_row(4, len(labels), decisions=[decision for _, decision in labels])
    for region, (confidence, _) in zip(row.regions, labels, strict=True):
        region.labels[0].confidence = confidence
        region.labels[0].reasons = [f"confidence {confidence}", "second", "third", "fourth"]
    return row


@given(some_fields, some_fields)
def test_a_project_has_the_fields_that_it_needs_and_no_others(
    some: frozenset[str], more: frozenset[str]
) -> None:
    config = label_config(some)
    assert control_names(config) == ALWAYS | some
    assert control_names(with_fields(config, more)) == ALWAYS | some | more
    live = live_config(with_fields(config, more))
    assert control_names(live) == ALWAYS | some | more | {FIND}
    assert live_config(live) == live
    root = ElementTree.fromstring(live)
    names = [node.get("name") for node in root.iter() if node.get("name")]
    assert len(names) == len(set(names))
    assert [box.get("smart") for box in root.iter("RectangleLabels")] == ["true"]


def test_the_styles_hold_nothing_that_xml_or_label_studio_changes() -> None:
    assert not set(STYLES) & set("<>&")
    assert STYLES.count("{") == STYLES.count("}")


def test_the_fields_of_an_image_are_those_that_its_prediction_fills() -> None:
    shown = make_shown()
    assert fields_of(shown) == {entry["from_name"] for entry in result_of(shown)} - ALWAYS


async def test_new_images_bring_their_fields(home: Path, tmp_path: Path) -> None:
    rows = [*review_rows(1, tmp_path / "images"), asked_row(review_rows(2, tmp_path / "images")[1])]
    make_dataset(tmp_path / "d", rows)
    fake = FakeLabelStudio()
    async with open_bench(home, tmp_path / "d", fake, limit=1) as bench:
        await bench.push.run(bench.review_id)
        (project,) = fake.projects.values()
        (task,) = fake.tasks.values()
        first = {entry["from_name"] for entry in task["predictions"][0]["result"]} - ALWAYS
        assert control_names(project["label_config"]) == ALWAYS | first
        await bench.ask_again(tmp_path / "d", limit=2)
        await bench.push.run(bench.review_id)
        every = {
            entry["from_name"] for task in fake.tasks.values() for entry in task["predictions"][0]["result"]
        }
        assert control_names(project["label_config"]) == ALWAYS | every


def test_the_most_doubtful_box_comes_first_and_stands_out() -> None:
    row = row_of(
        (0.99, Decision.ACCEPT), (0.85, Decision.REVIEW), (0.95, Decision.AUDIT), (0.3, Decision.REVIEW)
    )
    ids = [region.region_id for region in row.regions]

    shown, blind = shown_image(row), shown_image(row, blind=True)

    assert [region.region_id for region in shown.regions] == [ids[3], ids[1], ids[0], ids[2]]
    assert [region.doubtful for region in shown.regions] == [True, True, False, False]
    assert shown.regions[0].reasons == ["confidence 0.3; second; third"]
    assert [region.region_id for region in blind.regions] == ids
    assert not any(region.doubtful or region.reasons for region in blind.regions)


def test_where_nothing_is_accepted_only_the_unsure_boxes_stand_out() -> None:
    row = row_of((0.95, Decision.REVIEW), (0.6, Decision.REVIEW), (0.2, Decision.REVIEW))
    row.regions[2].labels[0].reasons.append(BEYOND_BUDGET)
    assert [region.doubtful for region in shown_image(row).regions] == [False, True, False]
    data = ls_task(shown_image(row), "k", "http://x/y.png", "m")["data"]
    assert data["why"] == "1 box in doubt: choose one to see why"


@given(shown_images())
def test_every_close_up_shows_its_box_and_the_address_stays_text(shown: ShownImage) -> None:
    address = 'http://x/y.png?a=1&b="><script>'
    root = ElementTree.fromstring(f"<div>{closeups_html(shown, address)}</div>")
    parts = root.findall("span")
    assert [part.findtext("b") for part in parts] == [str(n + 1) for n in range(len(shown.regions))]
    for part, region in zip(parts, shown.regions, strict=True):
        (svg,) = part.findall("svg")
        x, y, width, height = (float(value) for value in str(svg.get("viewBox")).split())
        x_min, y_min, x_max, y_max = region.box_xyxy
        assert x < x_min < x_max < x + width
        assert y < y_min < y_max < y + height
        assert int(str(svg.get("width"))) >= 1
        assert int(str(svg.get("width"))) <= 200
        assert int(str(svg.get("height"))) <= 54
    if parts:
        (image,) = root.iter("image")
        assert (image.get("href"), image.get("width")) == (address, str(shown.width))
