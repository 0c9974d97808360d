"""Which predicted video is which gold video."""

import pytest

from fo1_data.evaluation.video_names import pair_videos


@pytest.mark.parametrize(
    ("predicted", "gold", "expected"),
    [
        (["a.mp4"], ["anything"], {0: 0}),
        (["/x/b.mp4", "/x/a.mp4"], ["a.mp4", "b.mp4"], {0: 1, 1: 0}),
        (["/x/SEQ-1/img1", "/x/SEQ-2/img1"], ["SEQ-2", "SEQ-1"], {0: 1, 1: 0}),
        (["one/a.mp4", "two/a.mp4"], ["two/a.mp4", "three/b.mp4"], {0: 1}),
        (["one/a.mp4", "two/a.mp4"], ["a.mp4", "b.mp4"], {}),
        (["a.mp4", "c.mp4"], ["x/a.mp4", "y/a.mp4"], {}),
        (["v1.0-clip", "v1.1-clip"], ["v1.1-clip.txt", "v1.0-clip.txt"], {0: 1, 1: 0}),
        (["a", "b"], ["c", "d"], {}),
    ],
)
def test_names_are_paired_by_their_ends(
    predicted: list[str], gold: list[str], expected: dict[int, int]
) -> None:
    assert pair_videos([[name] for name in predicted], [[name] for name in gold]) == expected


def test_any_name_of_a_video_may_fit() -> None:
    assert pair_videos([["x/1.mp4", "y/yard.mp4"], ["x/2.mp4"]], [["yard"], ["2"]]) == {0: 0, 1: 1}
