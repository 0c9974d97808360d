"""Masks in a real Label Studio and a reviewer's browser: out, painted over, in, and merged."""

from pathlib import Path

import numpy as np
import pytest
from conftest import Pair
from factories import make_dataset, make_row
from playwright.sync_api import Page, expect
from reviewed_datasets import merge_reviewed, problems_by_label_studio

from fo1_data.masks import decode_mask, encode_mask
from schemas.images import ImageRow
from services.label_studio.labelling_config import BOX, MASK

pytestmark = pytest.mark.timeout(600)
WH = (640, 400)
DRAWN = "Htx.annotationStore.selected?.regionStore.regions"


def masked_row(seed: int, folder: Path) -> ImageRow:
    """A row with two regions that have a ragged mask, one of them with a hole, and one without a mask."""
    boxes = [(40.0, 40.0, 200.5, 200.0), (300.0, 60.0, 420.0, 340.25), (480.0, 80.0, 600.0, 300.0)]
    row = make_row(seed, width=WH[0], height=WH[1], boxes=boxes, folder=folder)
    ys, xs = np.mgrid[: WH[1], : WH[0]]
    speckle = np.random.default_rng(seed).random((WH[1], WH[0])) > 0.02
    ring = (np.hypot(xs - 120, ys - 120) < 79) & (np.hypot(xs - 120, ys - 120) > 30)
    row.regions[0].mask_rle = encode_mask(ring & speckle)
    row.regions[1].mask_rle = encode_mask((np.abs(xs - 360) < 55) & (np.abs(ys - 200) < 135))
    return row


def test_masks_go_out_as_brushes_and_what_is_painted_comes_back(
    pair: Pair, page: Page, tmp_path: Path
) -> None:
    row = masked_row(1, tmp_path / "images")
    make_dataset(tmp_path / "d", [row])
    review = pair.push(tmp_path / "d", masks=True)
    (task,) = pair.tasks(review["project_id"])
    assert problems_by_label_studio([task]) == []
    result = task["predictions"][0]["result"]
    assert [part["from_name"] for part in result if part["from_name"] in (BOX, MASK)] == [MASK, MASK, BOX]

    open_task(page, pair, review["project_id"], task["id"])
    captions = page.locator(".lsf-outliner-item textarea")
    expect(captions).to_have_count(3)
    assert [field.input_value() for field in captions.all()] == [r.brief_caption for r in row.regions]
    page.locator(".lsf-outliner-item__index").nth(1).click()
    page.keyboard.press("b")
    stage = page.locator(".konvajs-content").first.bounding_box()
    assert stage is not None
    scale = stage["width"] / WH[0]
    page.mouse.move(stage["x"] + 380 * scale, stage["y"] + 200 * scale)
    page.mouse.down()
    page.mouse.move(stage["x"] + 460 * scale, stage["y"] + 200 * scale, steps=8)
    page.mouse.up()
    page.wait_for_function(f"{DRAWN}[1].touches.length == 1")
    page.get_by_role("button", name="submit", exact=False).first.click()
    pair.await_review(review["id"], annotations={"submitted": 1})
    found = pair.corrections(review["id"])
    assert [(part["action"], part.get("region_id")) for part in found if part["action"] != "verdict"] == [
        ("moved", row.regions[1].region_id)
    ]

    after = merge_reviewed(pair, tmp_path / "d", "service", tmp_path / "merged")[row.image_id].regions
    before = row.regions
    for place in (0, 2):
        assert (after[place].box_xyxy, after[place].mask_rle) == (
            before[place].box_xyxy,
            before[place].mask_rle,
        )
    assert before[1].mask_rle is not None
    assert after[1].mask_rle is not None
    painted = decode_mask(after[1].mask_rle)
    assert painted[200, 455]
    assert not (decode_mask(before[1].mask_rle) & ~painted).any()
    assert after[1].box_xyxy[:2] == (306, 66)
    assert after[1].box_xyxy[2] > 455
    assert after[1].brief_caption == before[1].brief_caption


def open_task(page: Page, pair: Pair, project_id: int, task_id: int) -> None:
    """The labelling view of a task, with its masks drawn."""
    page.goto(f"{pair.label_studio.url}/projects/{project_id}/data?task={task_id}")
    page.wait_for_function(
        f"id => window.Htx?.task?.id == id && {DRAWN}.length == 3"
        " && [...document.images].some(i => i.src.includes('/v1/images/') && i.complete && i.naturalWidth)",
        arg=task_id,
    )
    page.wait_for_function(f"{DRAWN}.every(r => r.parent?.stageRef && r.shapeRef)")
