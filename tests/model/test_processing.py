"""Image preparation: sizes within the towers' limits, boxes that follow."""

import numpy as np
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.processing import crop_with_margin, fit_to_grid, limit_size


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


@settings(deadline=None, max_examples=25)
@given(width=st.integers(28, 300), height=st.integers(28, 300), seed=st.integers(0, 99))
def test_pixels_are_those_of_the_reference_processor(
    random_checkpoint: Checkpoint, width: int, height: int, seed: int
) -> None:
    """Bit for bit: one table of 256 values a channel stands for rescaling and normalising."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    reference = Qwen2VLImageProcessorPil.from_pretrained(str(random_checkpoint.folder))

    prepared = random_checkpoint.processor.prepare(Image.fromarray(pixels), np.zeros((0, 4)))

    expected = reference(images=Image.fromarray(pixels), return_tensors="pt")
    assert prepared.grid_hw == tuple(expected["image_grid_thw"][0, 1:].tolist())
    assert torch.equal(prepared.pixel_values, expected["pixel_values"])
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised_HW3 = (torch.from_numpy(pixels) / 255 - mean) / std
    assert torch.equal(prepared.aux_image, normalised_HW3.permute(2, 0, 1))


@given(width=st.integers(1, 9000), height=st.integers(1, 9000), max_pixels=st.integers(3136, 10**7))
def test_the_grid_is_that_of_the_reference_processor(width: int, height: int, max_pixels: int) -> None:
    assume(max(width, height) <= 200 * min(width, height))
    rows, columns = smart_resize(height, width, 28, 3136, max_pixels)
    assert fit_to_grid(width, height, 28, 3136, max_pixels) == (columns, rows)


@given(
    wh=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    box=st.tuples(*[st.floats(-20, 320, width=32)] * 4),
)
def test_a_crop_lies_within_the_image_and_is_never_empty(
    wh: tuple[int, int], box: tuple[float, float, float, float]
) -> None:
    x_min, x_max = sorted((box[0], box[2]))
    y_min, y_max = sorted((box[1], box[3]))
    crop = crop_with_margin(Image.new("RGB", wh), (x_min, y_min, x_max, y_max))
    assert 1 <= crop.width <= wh[0]
    assert 1 <= crop.height <= wh[1]
