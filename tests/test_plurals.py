"""A number and its noun agree."""

import pytest

from fo1_data.plurals import counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 shards"), (1, "1 shard"), (2, "2 shards"), (1200, "1,200 shards")]
)
def test_a_noun_takes_the_form_of_its_number(number: int, text: str) -> None:
    assert counted(number, "shard") == text


def test_a_noun_with_another_plural() -> None:
    assert [counted(number, "entry", "entries") for number in (1, 2)] == ["1 entry", "2 entries"]
