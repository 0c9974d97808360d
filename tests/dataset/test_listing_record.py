"""What a run has kept of its listing is for messages alone: damaged, it costs their words and no more."""

from pathlib import Path

from fo1_data.corpus.entry_list import EntryList
from fo1_data.dataset.layout import LISTING
from fo1_data.dataset.listing_record import describe_change, record_listing
from fo1_data.storage.store import open_store
from schemas.corpus import CorpusImage


def test_a_record_with_a_changed_byte_or_cut_off_is_none(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    entries = EntryList([CorpusImage(uri=f"/corpus/{number}.png") for number in range(9)])
    record_listing(store, entries)
    content = store.read_bytes(LISTING)
    same = describe_change(store, entries)
    assert same == "the same images in another order"
    cut = [content[:length] for length in range(len(content))]
    changed = [
        content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]
        for place in range(len(content))
        for bit in range(8)
    ]
    for damaged in (*cut, *changed, b"", b"[]"):
        store.write_bytes(LISTING, damaged)
        assert describe_change(store, entries) in ("changed", same)
