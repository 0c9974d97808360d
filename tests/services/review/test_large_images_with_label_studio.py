"""A large image in a real Label Studio: shown in views, corrected in its own pixels."""

import io
from pathlib import Path

import httpx
import pytest
from conftest import Pair
from factories import make_dataset, make_image, make_row
from PIL import Image
from reviewed_datasets import merge_reviewed, problems_by_label_studio

pytestmark = pytest.mark.timeout(600)


def test_a_large_image_is_reviewed_in_views_and_corrected_in_its_own_pixels(
    pair: Pair, tmp_path: Path
) -> None:
    boxes = [(100.0, 10.0, 140.0, 50.0), (5000.0, 12.0, 5040.0, 52.0)]
    row = make_row(1, width=6000, height=64, boxes=boxes, folder=tmp_path / "images")
    make_dataset(tmp_path / "dataset", [row])
    review = pair.push(tmp_path / "dataset")
    tasks = {task["data"]["image"].partition("view=")[2]: task for task in pair.tasks(review["project_id"])}

    assert set(tasks) == {"36,0,205,64", "4936,0,5105,64", "0,0,6000,64"}
    assert problems_by_label_studio(list(tasks.values())) == []
    task = tasks["4936,0,5105,64"]
    with Image.open(io.BytesIO(httpx.get(task["data"]["image"]).raise_for_status().content)) as view:
        whole = make_image(1, 6000, 64, boxes)
        assert view.convert("RGB").tobytes() == whole.crop((4936, 0, 5105, 64)).tobytes()
    with Image.open(io.BytesIO(httpx.get(tasks["0,0,6000,64"]["data"]["image"]).content)) as view:
        assert view.width == 2048
    result = task["predictions"][0]["result"]
    for entry in result:
        if "x" in entry["value"]:
            entry["value"]["x"] += 10 / 169 * 100
    pair.annotate(task["id"], result)
    untouched = tasks["36,0,205,64"]
    pair.annotate(untouched["id"], untouched["predictions"][0]["result"])
    pair.await_review(review["id"], annotations={"submitted": 2})
    merged = merge_reviewed(pair, tmp_path / "dataset", "service", tmp_path / "merged")[row.image_id]
    assert merged.regions[0].box_xyxy == row.regions[0].box_xyxy
    assert [label.annotator for label in merged.regions[0].labels] == [pair.label_studio.username]
    assert merged.regions[1].box_xyxy == pytest.approx((5010, 12, 5050, 52), abs=0.01)
    refused = pair.api.get(f"/v1/images/{row.image_id}", params={"view": "5990,0,6001,64"})
    assert (refused.status_code, "6000 x 64" in refused.text) == (422, True)
