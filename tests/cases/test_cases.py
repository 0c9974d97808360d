"""Small inputs that went wrong somewhere, each with its right value. Adding a case is adding a folder.

A case is `NAME/case.toml` and `NAME/input/`:

    report = "owner/repository#17"     # where somebody met it; optional
    about = "what goes wrong"
    corpus = "annotations.json"        # in input/; "." is the folder itself
    proposals = "boxes.jsonl"          # in input/; a file of boxes, optional
    rejects = ["ambiguous_id"]         # reasons, in order, of the listing and then of the images
    message = "a.png and b.png"        # a part of one of their messages; optional
    [images."a.png"]                   # every image that is listed, by the end of its name
    regions = [[20, 20, 60, 60, "dog"]]  # in the picture as shown; without the key: not known
    meta = {url = "..."}               # keys that meta must have; optional
    phrases = {"the dog" = [0]}        # optional, as is `caption`
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.frames import oriented_entry
from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.runs.plan import list_corpus
from schemas.corpus import CorpusImage
from schemas.images import Reject
from schemas.jobs import RunConfig

CASES = sorted(path.parent for path in Path(__file__).parent.glob("*/case.toml"))


def described(entry: CorpusImage) -> tuple[dict[str, Any], list[Reject]]:
    image = decode_rgb(read_bytes(entry, InputLimits()), InputLimits())
    oriented, rejects = oriented_entry(entry, image, "auto")
    regions = oriented.regions
    known = {} if regions is None else {"regions": [[*r.box_xyxy, r.label] for r in regions]}
    return known, rejects


def _key_of(entry: CorpusImage, keys: Iterable[str]) -> str:
    """The key that an entry's name ends with; the whole name if there is none."""
    return next((key for key in keys if entry.name.endswith(key)), entry.name)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Path) -> None:
    expected = tomllib.loads((case / "case.toml").read_text())
    addresses = {
        key: str(case / "input" / expected[key]) for key in ("corpus", "proposals") if key in expected
    }
    planned = list_corpus(RunConfig(**addresses, out="plan"))
    rejects = list(planned.listing_rejects)
    entries = [entry for shard in planned.shards for entry in shard.images]
    names = [_key_of(entry, expected["images"]) for entry in entries]
    assert sorted(names) == sorted(expected["images"])
    for name, entry in zip(names, entries, strict=True):
        image = expected["images"][name]
        found, box_rejects = described(entry)
        rejects += box_rejects
        assert ("regions" in found) == ("regions" in image), name
        for region, right in zip(found.get("regions", []), image.get("regions", []), strict=True):
            assert region[:4] == pytest.approx(right[:4], abs=0.05)
            assert region[4] == (right[4] if len(right) > 4 else None)
        meta = entry.meta or {}
        assert {key: meta.get(key) for key in image.get("meta", {})} == image.get("meta", {})
        assert image.get("caption") in (None, entry.caption)
        if "phrases" in image:
            assert {phrase.text: phrase.region_indices for phrase in entry.phrases} == image["phrases"]
    assert [reject.reason for reject in rejects] == expected.get("rejects", [])
    assert expected.get("message", "") in " ".join(reject.message for reject in rejects)
