"""A version follows its review: what no longer counts there is withdrawn, wherever merges come in between."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fake_label_studio import FakeLabelStudio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from review_bench import Bench, make_review_dataset, open_bench
from review_samples import edited

from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.validate import validate_dataset
from fo1_data.dataset.versions.compare import compare_datasets
from fo1_data.dataset.versions.merge import merge_corrections
from schemas.corrections import Correction
from schemas.images import ImageRow
from services.label_studio.shown_from_rows import shown_image

PEOPLE, IMAGES = st.integers(1, 3), st.integers(0, 1)
STEPS = st.lists(
    st.tuples(st.just("annotate"), IMAGES, PEOPLE, st.integers(0, 3))
    | st.tuples(st.sampled_from(["change", "delete", "skip", "truth"]), IMAGES, PEOPLE, st.integers(0, 3))
    | st.tuples(st.sampled_from(["pull", "merge", "save", "merge_file"]), IMAGES, PEOPLE, st.just(0)),
    min_size=3,
    max_size=14,
)


class History:
    """Reviewers at work in a fake Label Studio, and the versions that are made in between."""

    def __init__(self, folder: Path, rows: list[ImageRow], bench: Bench, fake: FakeLabelStudio) -> None:
        self.folder, self.rows, self.bench, self.fake = folder, rows, bench, fake
        self.first = self.newest = str(folder / "dataset")
        self.num_versions = 0
        self.files: list[list[Correction]] = []

    async def step(self, action: str, image: int, person: int, seed: int) -> None:
        row = self.rows[image]
        task = self.fake.task_of(row.image_id)
        theirs = [entry for entry in task["annotations"] if entry["completed_by"] == person]
        match action:
            case "annotate":
                self.fake.annotate(task, answer(row, seed), person)
            case "change" if theirs:
                self.fake.change(task, theirs[-1]["id"], result=answer(row, seed))
            case "delete" if theirs:
                self.fake.delete(task, theirs[-1]["id"])
            case "skip" if theirs:
                self.fake.change(task, theirs[-1]["id"], was_cancelled=not theirs[-1]["was_cancelled"])
            case "truth" if theirs:
                self.fake.change(task, theirs[-1]["id"], ground_truth=not theirs[-1]["ground_truth"])
            case "pull":
                await self.pull()
            case "merge":
                await self.pull()
                self.newest = self.merge(self.newest, await self.bench.corrections(), whole=True)
            case "save":
                self.files.append(await self.bench.corrections())
            case "merge_file" if self.files:
                self.newest = self.merge(self.newest, self.files[person % len(self.files)])

    async def pull(self) -> None:
        await self.bench.changed()
        await self.bench.push.run(self.bench.review_id)

    def merge(self, address: str, corrections: list[Correction], whole: bool = False) -> str:
        self.num_versions += 1
        out = str(self.folder / f"v{self.num_versions}")
        key = self.bench.review_key  # type: ignore[attr-defined]
        merge_corrections(address, corrections, out, reviews=[key] if whole else [])
        return out


def answer(row: ImageRow, seed: int) -> list[dict[str, Any]]:
    """One of four annotations: everything confirmed, two with other captions, one without the first box."""
    result = edited(shown_image(row), seed=seed)
    if seed == 3:
        result = [entry for entry in result if entry.get("id") != row.regions[0].region_id]
    return result


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, data=st.data())
def test_any_history_gives_the_rows_of_its_final_state(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int, int]], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("history")

    async def run() -> None:
        dataset, rows = make_review_dataset(folder, 2)
        fake = FakeLabelStudio()
        async with open_bench(folder / "home", dataset, fake) as bench:
            await bench.push.run(bench.review_id)
            bench.review_key = (await bench.review()).key  # type: ignore[attr-defined]
            history = History(folder, rows, bench, fake)
            for step in steps:
                await history.step(*step)
            await history.pull()
            final = await bench.corrections()
        expected = history.merge(history.first, final)
        reached = history.merge(history.newest, final, whole=True)
        assert compare_datasets(expected, reached).is_empty
        assert validate_dataset(reached) == []
        # Files that were saved on the way, merged in any order, are overruled by the one saved last.
        mixed = data.draw(st.permutations([*history.files, final]))
        address = history.first
        for file in mixed:
            address = history.merge(address, file)
        assert compare_datasets(expected, address).is_empty
        said = {c.correction_id for c in open_dataset(expected).history().effective().values()}
        assert said == {c.correction_id for c in open_dataset(reached).history().effective().values()}

    asyncio.run(run())
