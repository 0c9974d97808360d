"""Bar charts: no value is lost between bins, and heights are proportional to values."""

import re
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fo1_data.reports.bars import Bar, bar_chart, bins_of_shares, share_bars, whole_number_bars


@given(st.dictionaries(st.integers(0, 500), st.integers(1, 50), max_size=30))
def test_no_value_is_lost_between_bars(counts: dict[int, int]) -> None:
    bars = whole_number_bars(Counter(counts))
    assert sum(bar.value for bar in bars) == sum(counts.values())
    assert len(bars) <= 24


@given(st.floats(-0.5, 1.5))
def test_every_share_has_a_bin(share: float) -> None:
    (number,) = bins_of_shares(np.array([share]), 10)
    assert 0 <= number <= 9
    if 0 <= share < 1:
        assert number / 10 <= share < (number + 1) / 10 + 1e-9


def test_the_heights_of_bars_are_proportional_to_their_values() -> None:
    chart = bar_chart([Bar("0", 2), Bar("1", 8), Bar("2", 4)], "image")
    heights = [float(h) for h in re.findall(r'class="bar".*?height="([\d.]+)"', chart)]
    assert [round(height / heights[1], 2) for height in heights] == [0.25, 1.0, 0.5]


def test_labels_are_escaped_and_an_empty_chart_says_so() -> None:
    assert "<b>" not in bar_chart([Bar("<b>", 1)], "<b>")
    assert "Nothing to show" in bar_chart(share_bars(Counter(), 4), "image")


def test_every_number_that_fits_stands_above_its_bar() -> None:
    few = bar_chart([Bar(str(number), number) for number in range(1, 21)], "image")
    assert few.count('class="value"') == 20
    many = bar_chart([Bar(str(number), 1000 + number) for number in range(20)], "image")
    assert many.count('class="value"') == 1
