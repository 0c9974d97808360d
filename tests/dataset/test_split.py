"""New splits of a dataset: near-duplicates stay together, rare labels are in every split."""

import io
from collections import Counter
from pathlib import Path

import pytest
from factories import make_dataset, make_row
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.versions.near_duplicates import difference_hash, group_alike
from fo1_data.dataset.versions.split import assign_splits, split_dataset
from fo1_data.errors import ConfigError

SHARES = {"train": 0.7, "validation": 0.2, "test": 0.1}
BITS_64 = st.integers(0, 2**64 - 1)


@given(
    st.lists(BITS_64, max_size=6),
    st.lists(st.sets(st.integers(0, 63), max_size=5), max_size=8),
    st.integers(0, 6),
)
def test_alike_are_all_that_are_linked_by_close_pairs(
    seeds: list[int], flips: list[set[int]], max_distance: int
) -> None:
    hashes = list(seeds)
    for number, bits in enumerate(flips):
        if hashes:
            hashes.append(hashes[number % len(hashes)] ^ sum(1 << bit for bit in bits))
    expected = list(range(len(hashes)))
    for _ in hashes:
        for place, value in enumerate(hashes):
            for other_place, other in enumerate(hashes):
                if (value ^ other).bit_count() <= max_distance:
                    expected[place] = min(expected[place], expected[other_place])
    assert group_alike(hashes, max_distance) == expected
    assert group_alike([None, None], max_distance) == [0, 1]


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from("abc")), min_size=30, max_size=90),
    st.integers(0, 9),
)
def test_groups_stay_whole_and_shares_hold_within_a_group(images: list[tuple[int, str]], seed: int) -> None:
    groups = [group for group, _ in images]
    names = [Counter(name) for _, name in images]
    splits = assign_splits(groups, names, SHARES, seed)
    assert all(
        len({split for split, of in zip(splits, groups, strict=True) if of == group}) == 1 for group in groups
    )
    largest = max(Counter(groups).values())
    for split, share in SHARES.items():
        assert abs(splits.count(split) - share * len(images)) <= 3 * largest + 1
    assert splits == assign_splits(groups, names, SHARES, seed)


def test_a_label_of_few_images_is_in_every_split() -> None:
    names = [Counter("a")] * 94 + [Counter(("a", "b"))] * 6
    splits = assign_splits(range(100), names, {"train": 0.5, "validation": 0.3, "test": 0.2}, 0)
    assert Counter(splits[94:]) == {"train": 3, "validation": 2, "test": 1}
    assert Counter(splits) == {"train": 50, "validation": 30, "test": 20}


def picture(seed: int) -> Image.Image:
    noise = Image.effect_noise((12, 12), 90).resize((160, 120), Image.Resampling.BICUBIC)
    return noise.rotate(seed).convert("RGB")


def test_captions_of_a_single_image_do_not_keep_images_from_a_split() -> None:
    names = [Counter({f"caption {place}": 1, "frequent": place % 2}) for place in range(100)]
    split_of = Counter(assign_splits(range(100), names, {"train": 0.8, "validation": 0.2}, seed=0))
    assert split_of == {"train": 80, "validation": 20}


@pytest.mark.timeout(30)
def test_many_images_with_names_of_their_own_are_divided_in_time() -> None:
    names = [Counter({f"thing {place} {number}": 1 for number in range(4)}) for place in range(8_000)]
    split_of = Counter(assign_splits(range(8_000), names, {"train": 0.8, "validation": 0.2}, seed=0))
    assert split_of == {"train": 6_400, "validation": 1_600}


def test_other_sizes_and_qualities_of_a_picture_are_alike() -> None:
    first, other = picture(0), picture(90)
    data = io.BytesIO()
    first.resize((80, 60)).save(data, "JPEG", quality=30)
    small = difference_hash(Image.open(data))
    assert (difference_hash(first) ^ small).bit_count() <= 4
    assert (difference_hash(first) ^ difference_hash(other)).bit_count() > 10


def test_a_version_with_new_splits_has_the_same_rows_otherwise(tmp_path: Path) -> None:
    rows = [make_row(number, embed=True) for number in range(20)]
    make_dataset(tmp_path / "all", rows)
    shares = {"validation": 0.25, "test": 0.1}
    report = split_dataset(str(tmp_path / "all"), str(tmp_path / "new"), shares, max_distance=-1)
    assert report.images == {"train": 13, "validation": 5, "test": 2}
    assert report.manifest.version == "2"
    assert validate_dataset(str(tmp_path / "new")) == []
    written = list(open_dataset(str(tmp_path / "new")).rows())
    assert Counter(row.split for row in written) == report.images
    before = {row.image_id: row.model_dump() | {"split": ""} for row in rows}
    assert {row.image_id: row.model_dump() | {"split": ""} for row in written} == before


def test_images_that_cannot_be_read_are_told_of(tmp_path: Path) -> None:
    make_dataset(tmp_path / "all", [make_row(number, embed=number > 0) for number in range(4)])
    report = split_dataset(str(tmp_path / "all"), str(tmp_path / "new"), {"validation": 0.5})
    assert report.unread == 1
    assert sum(report.images.values()) == 4


def test_shares_that_leave_nothing_to_train_on_are_refused(tmp_path: Path) -> None:
    make_dataset(tmp_path / "all", [make_row(0)])
    with pytest.raises(ConfigError, match="must leave some images to train on"):
        split_dataset(str(tmp_path / "all"), str(tmp_path / "new"), {"validation": 0.6, "test": 0.4})
