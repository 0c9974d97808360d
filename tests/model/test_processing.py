"""Image preparation: sizes within the towers' limits, boxes that follow."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.processing import limit_size


@settings(deadline=None, max_examples=40)
@given(width=st.integers(1, 2500), height=st.integers(1, 300))
def test_boxes_keep_their_share_of_the_image(width: int, height: int) -> None:
    image, (scale_x, scale_y) = limit_size(Image.new("RGB", (width, height)), 2048)
    new_w, new_h = image.size

    assert 28 <= new_w <= 2048
    assert 28 <= new_h <= 2048
    assert abs(width * scale_x - new_w) < 1e-6 * new_w
    assert abs(height * scale_y - new_h) < 1e-6 * new_h


def test_prepared_boxes_cover_the_same_part_in_both_frames(random_checkpoint: Checkpoint) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (70, 333, 3), dtype=np.uint8))
    boxes = np.array([[0, 0, 333, 70], [33.3, 7, 66.6, 14], [-20, -9, 400, 90]], np.float32)

    prepared = random_checkpoint.processor.prepare(image, boxes)

    height, width = prepared.aux_image.shape[-2:]
    rows, columns = prepared.grid_hw
    share_aux = prepared.aux_boxes.numpy() / [width, height, width, height]
    share_vit = prepared.vt_boxes.numpy() / [14 * columns, 14 * rows, 14 * columns, 14 * rows]
    np.testing.assert_allclose(share_aux, share_vit, atol=1e-6)
    np.testing.assert_allclose(share_aux[0], [0, 0, 1, 1])
    np.testing.assert_allclose(share_aux[2], [0, 0, 1, 1])
    assert prepared.pixel_values.shape == (rows * columns, 1176)


def test_a_sliver_is_raised_and_its_box_comes_along(random_checkpoint: Checkpoint) -> None:
    prepared = random_checkpoint.processor.prepare(
        Image.new("RGB", (400, 3)), np.array([[100, 0, 200, 3]], np.float32)
    )
    assert prepared.aux_image.shape[-2:] == (28, 400)
    np.testing.assert_allclose(prepared.aux_boxes.numpy(), [[100, 0, 200, 28]], rtol=1e-6)
