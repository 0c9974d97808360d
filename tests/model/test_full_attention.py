"""Position embeddings of towers with full attention, against torch's interpolation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from fo1_data.model.bases.full_attention import attend_within_images, full_layout, position_embeddings
from fo1_data.model.bases.vision_tower import to_map


@pytest.mark.parametrize("corners_meet", [True, False])
@settings(deadline=None, max_examples=25)
@given(
    side=st.integers(2, 9),
    grids=st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), min_size=1, max_size=3),
)
def test_positions_are_the_learnt_grid_interpolated(
    corners_meet: bool, side: int, grids: list[tuple[int, int]]
) -> None:
    grids_hw = [(2 * rows, 2 * columns) for rows, columns in grids]
    table = torch.randn(side**2, 3, generator=torch.Generator().manual_seed(side))
    layout = full_layout(grids_hw, 2, 8, side, corners_meet=corners_meet, device=torch.device("cpu"))

    found = position_embeddings(table, layout).split(layout.lengths)

    grid_13SS = table.T.reshape(1, 3, side, side)
    for embeddings, grid_hw in zip(found, grids_hw, strict=True):
        expected = interpolate(grid_13SS, grid_hw, mode="bilinear", align_corners=corners_meet)
        torch.testing.assert_close(
            to_map(embeddings.view(-1, 4, 3), grid_hw, 2), expected, atol=1e-5, rtol=1e-5
        )


def test_no_patch_attends_to_another_image() -> None:
    lengths = [4, 4, 6, 4]
    queries, keys, values = torch.randn(3, sum(lengths), 2, 8, generator=torch.Generator().manual_seed(0))
    together = attend_within_images(queries, keys, values, lengths).split(lengths)
    parts = zip(queries.split(lengths), keys.split(lengths), values.split(lengths), strict=True)
    for found, part in zip(together, parts, strict=True):
        torch.testing.assert_close(found, attend_within_images(*part, [len(part[0])]))
