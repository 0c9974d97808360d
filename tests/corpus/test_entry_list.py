"""Entries kept in little memory come back unchanged, from memory and from the temporary file."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fo1_data.corpus.entry_list import EntryList
from fo1_data.errors import StorageError
from schemas.corpus import CorpusImage, CorpusPhrase, CorpusRegion

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.floats(allow_nan=False)
PLAIN = st.builds(CorpusImage, uri=TEXT | st.just("{") | st.just("s3://b/a.jpg"))
ANNOTATED = st.builds(
    CorpusImage,
    uri=TEXT,
    inner=st.none() | TEXT,
    inner_span=st.none() | st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)),
    regions=st.none()
    | st.lists(
        st.builds(
            CorpusRegion, box_xyxy=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), label=st.none() | TEXT
        ),
        max_size=2,
    ),
    phrases=st.lists(st.builds(CorpusPhrase, text=TEXT), max_size=1),
    meta=st.none() | st.dictionaries(TEXT, st.none() | TEXT | NUMBERS | st.integers(), max_size=2),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PLAIN | ANNOTATED, max_size=12), st.integers(0, 12), st.integers(0, 12))
def test_entries_come_back_in_order(entries: list[CorpusImage], start: int, stop: int) -> None:
    kept = EntryList(entries)
    assert kept == entries
    assert list(kept) == entries
    assert kept[start:stop] == entries[start:stop]
    assert kept[::-2] == entries[::-2]
    assert [kept[place] for place in range(-len(entries), len(entries))] == [*entries, *entries]
    assert list(kept.documents()) == [entry.model_dump_json().encode() for entry in entries]
    plain = [CorpusImage(uri=entry.uri) for entry in entries]
    assert [entry for entry in kept.annotated() if entry not in plain] == [
        entry for entry in entries if entry not in plain
    ]


@pytest.mark.parametrize("held_bytes", [0, 1000, 10**6])
def test_many_entries_come_back_from_the_temporary_file(held_bytes: int) -> None:
    entries = [
        CorpusImage(uri=f"s3://bucket/{number * 7919 % 100_003}.jpg", id="x" if number % 5 == 0 else None)
        for number in range(5000)
    ]
    kept = EntryList(entries, held_bytes)
    assert kept == entries
    for start, stop in ((0, 3), (1020, 1030), (2047, 2049), (4990, 6000), (4999, 5000)):
        assert kept[start:stop] == entries[start:stop]
    assert kept[-1] == entries[-1]
    assert [entry.uri for entry in kept.annotated()] == [entry.uri for entry in entries if entry.id]
    with pytest.raises(IndexError):
        kept[5000]


def test_a_temporary_folder_without_room_is_an_error_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(StorageError, match="no room for the list of images in .*none: .*TMPDIR"):
        EntryList((CorpusImage(uri=f"/{number}.jpg") for number in range(2000)), held_bytes=0)
