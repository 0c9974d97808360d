"""One process's labelling, with the real reading, proposing and engine over small random weights."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from random_checkpoint import write_random_checkpoint

from fo1_data.errors import ConfigError
from fo1_data.labelling.image_labeller import ImageLabeller, split_of
from fo1_data.labelling.loading import load_models
from fo1_data.labelling.work_done import WorkTracker
from fo1_data.model.engine.encoding_threads import Encoding
from fo1_data.model.engine.engine import Fo1Engine
from fo1_data.model.engine.questions import OpenImage
from fo1_data.model.processing import PreparedImage
from schemas.corpus import CorpusImage, CorpusPhrase, CorpusRegion
from schemas.images import ImageRow, RejectStage
from schemas.jobs import RunConfig
from schemas.labels import LabelKind, Source

ALL_KINDS = "brief_caption,detailed_caption,grounded_caption,detect,count,ground,ocr"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_checkpoint(tmp_path_factory.mktemp("model") / "random")


def _config(model: Path, **settings: object) -> RunConfig:
    given = {
        "corpus": "pictures",
        "out": "unused",
        "model": str(model),
        "proposals": "corpus",
        "max_new_tokens": 6,
    }
    return RunConfig.model_validate({**given, **settings})


def _picture(folder: Path, name: str, seed: int = 0, size: tuple[int, int] = (80, 60)) -> str:
    path = folder / name
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="PNG")
    return str(path)


def _region(*box: float, **said: str) -> CorpusRegion:
    return CorpusRegion(box_xyxy=box, **said)  # type: ignore[arg-type]


def test_every_kind_of_label_lands_in_its_column(model: Path, tmp_path: Path) -> None:
    entry = CorpusImage(
        uri=_picture(tmp_path, "a.png"),
        id="seven",
        caption="what the source says",
        meta={"camera": "K7"},
        regions=[_region(5, 5, 30, 30, label="cat", caption="a cat", text="EXIT"), _region(40, 2, 79, 58)],
        phrases=[CorpusPhrase(text="red star"), CorpusPhrase(text="red star"), CorpusPhrase(text="ring")],
    )
    labeller = ImageLabeller(_config(model, labels=ALL_KINDS, vocabulary="cat,dog"))

    (row,), rejects = labeller.label_entries([entry])

    assert rejects == []
    assert (row.source_id, row.width, row.height, row.corpus) == ("seven", 80, 60, "pictures")
    first = row.regions[0]
    assert (first.source_label, first.source_caption, first.box_source) == ("cat", "a cat", Source.CORPUS)
    assert first.objectness is None
    asked = {label.kind for label in first.labels if label.source is Source.MODEL}
    assert asked == {LabelKind.BRIEF_CAPTION, LabelKind.DETAILED_CAPTION, LabelKind.OCR}
    assert all(r.brief_caption is not None and r.detailed_caption is not None for r in row.regions)
    assert [label.text for label in first.labels if label.source is Source.CORPUS] == ["EXIT"]
    detected = [(g.phrase, g.kind) for g in row.groundings if g.kind is not LabelKind.GROUNDED_CAPTION]
    assert detected == [
        ("cat", LabelKind.DETECT),
        ("dog", LabelKind.DETECT),
        ("red star", LabelKind.GROUND),
        ("ring", LabelKind.GROUND),
    ]
    assert [count.phrase for count in row.counts] == ["cat", "dog"]
    assert json.loads(row.meta or "{}")["camera"] == "K7"
    assert row.caption is not None
    for label in row.all_labels():
        assert (label.confidence, label.decision) == (None, None)


def test_what_the_corpus_says_never_passes_for_an_answer(model: Path, tmp_path: Path) -> None:
    said = {"label": "cat", "caption": "a cat", "detailed_caption": "a small cat", "text": "EXIT"}
    entry = CorpusImage(uri=_picture(tmp_path, "a.png"), regions=[_region(5, 5, 30, 30, **said)])

    (row,), _ = ImageLabeller(_config(model, labels="grounded_caption")).label_entries([entry])

    region = row.regions[0]
    assert (region.brief_caption, region.detailed_caption, region.text) == (None, None, None)
    assert {label.text for label in region.labels} == {"a small cat", "EXIT"}
    assert all(label.source is Source.CORPUS for label in region.labels)


def test_a_bad_image_and_a_bad_box_are_rejects_and_the_rest_is_labelled(model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    entries = [
        CorpusImage(uri=_picture(tmp_path, "a.png"), regions=[_region(9, 9, 9, 20), _region(1, 1, 20, 20)]),
        CorpusImage(uri=str(broken)),
        CorpusImage(uri=str(tmp_path / "absent.png")),
        CorpusImage(uri=_picture(tmp_path, "b.png", seed=1), regions=[]),
    ]

    tracker = WorkTracker()
    rows, rejects = ImageLabeller(_config(model)).label_entries(entries, tracker)

    assert (tracker.done.images_read, tracker.done.images, tracker.done.regions) == (4, 4, 1)
    assert tracker.done.answers > 0
    assert [Path(row.uri).name for row in rows] == ["a.png", "b.png"]
    assert [len(row.regions) for row in rows] == [1, 0]
    assert sorted(reject.stage for reject in rejects) == [
        RejectStage.BOX,
        RejectStage.DECODE,
        RejectStage.FETCH,
    ]


def test_other_annotations_of_the_same_bytes_are_a_reject(model: Path, tmp_path: Path) -> None:
    """Whether they meet in a batch or later: the first annotations are used, and the loss is told."""
    names = ["a.png", "b.png", "c.png", "d.png"]
    boxes = [(0, 0, 9, 9), (0, 0, 9, 9), (10, 10, 30, 30), None]
    entries = [
        CorpusImage(uri=_picture(tmp_path, name, seed=2), regions=[_region(*box)] if box else None)
        for name, box in zip(names, boxes, strict=True)
    ]
    for batch_images in (1, 4):
        (row,), (reject,) = ImageLabeller(_config(model, batch_images=batch_images)).label_entries(entries)
        assert [Path(uri).name for uri in row.uris] == names
        assert (reject.reason, Path(reject.uri).name) == ("duplicate_annotations", "c.png")
        assert "a.png" in reject.message


def test_the_same_bytes_are_labelled_once(model: Path, tmp_path: Path) -> None:
    names = ["a.png", "b.png", "c.png"]
    entries = [
        CorpusImage(uri=_picture(tmp_path, name, seed=2), regions=[_region(0, 0, 9, 9)]) for name in names
    ]
    entries.insert(1, CorpusImage(uri=_picture(tmp_path, "other.png", seed=3), regions=[]))

    rows, rejects = ImageLabeller(_config(model, batch_images=2)).label_entries(entries)

    assert [[Path(uri).name for uri in row.uris] for row in rows] == [names, ["other.png"]]
    assert rejects == []


class NarrowEngine(Fo1Engine):
    """Has no memory for images of over 100 px."""

    def open_encoded(self, prepared: Sequence[PreparedImage], encoding: Encoding) -> list[OpenImage]:
        if any(max(image.aux_hw) > 100 for image in prepared):
            raise MemoryError("an image does not fit")
        return super().open_encoded(prepared, encoding)


@pytest.mark.parametrize("batch_images", [1, 2, 5])
def test_every_address_of_an_image_that_does_not_fit_is_a_reject(
    model: Path, tmp_path: Path, batch_images: int
) -> None:
    """Whether its copies meet in a batch or later: none is lost without a word."""
    large = [CorpusImage(uri=_picture(tmp_path, f"l{number}.png", 7, (120, 60))) for number in range(3)]
    small = [CorpusImage(uri=_picture(tmp_path, f"s{number}.png", number), regions=[]) for number in range(2)]
    config = _config(model, proposals="auto", batch_images=batch_images)
    models = load_models(str(model), "auto")
    labeller = ImageLabeller(config, replace(models, engine=NarrowEngine(models.engine.checkpoint)))

    rows, rejects = labeller.label_entries([large[0], small[0], large[1], large[2], small[1]])

    assert [row.uri for row in rows] == [entry.uri for entry in small]
    assert sorted(reject.uri for reject in rejects) == [entry.uri for entry in large]
    assert {(reject.reason, reject.replayable) for reject in rejects} == {("out_of_memory", True)}


def test_batches_of_any_size_give_the_same_rows(model: Path, tmp_path: Path) -> None:
    entries = [
        CorpusImage(
            uri=_picture(tmp_path, f"{seed}.png", seed=seed, size=(60 + 7 * seed, 50)),
            regions=[_region(0, 0, 20 + seed, 30)] * 1 + [_region(3 * seed, 1, 50, 40)] * (seed % 2),
            phrases=[CorpusPhrase(text="ring")],
        )
        for seed in range(6)
    ]

    def labelled(batch_images: int) -> list[object]:
        config = _config(model, labels="brief_caption,ground", batch_images=batch_images)
        rows, _ = ImageLabeller(config).label_entries(entries)
        texts = [[region.brief_caption for region in row.regions] for row in rows]
        return [texts, [[(g.phrase, g.region_ids) for g in row.groundings] for row in rows]]

    assert labelled(1) == labelled(4) == labelled(8)


def test_over_a_hundred_given_boxes_are_all_labelled(model: Path, tmp_path: Path) -> None:
    boxes = [_region(x, y, x + 6, y + 5) for x in range(0, 70, 5) for y in range(0, 50, 5)]
    entry = CorpusImage(
        uri=_picture(tmp_path, "many.png"), regions=boxes, phrases=[CorpusPhrase(text="ring")]
    )

    (row,), _ = ImageLabeller(_config(model, labels="brief_caption,ground,grounded_caption")).label_entries(
        [entry]
    )

    assert len(row.regions) == len(boxes) == 140
    assert [region.index for region in row.regions] == list(range(140))
    assert all(region.brief_caption is not None for region in row.regions)
    assert len([g for g in row.groundings if g.kind is LabelKind.GROUND]) == 1


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"labels": "detect", "vocabulary": "cat,@words"}, "@words"),
        ({"labels": "detect", "vocabulary": "cat,<ground>"}, "<ground>"),
        ({"phrases": "no/such/file"}, "phrases: no/such/file"),
    ],
)
def test_what_is_not_served_is_refused_at_once(model: Path, settings: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        ImageLabeller(_config(model, **settings))


def test_splits_follow_the_hash() -> None:
    ids = [f"{number * 2654435761 % 2**32:08x}" for number in range(4000)]
    shares = {
        name: sum(split_of(i, 0.1, 0.2) == name for i in ids) / len(ids)
        for name in ("train", "validation", "test")
    }
    assert shares["test"] == pytest.approx(0.2, abs=0.02)
    assert shares["validation"] == pytest.approx(0.1, abs=0.02)
    assert split_of("00000000", 0.0, 0.0) == "train"


@pytest.mark.parametrize("is_announced", [False, True])
def test_threads_that_encode_ahead_change_no_row(model: Path, tmp_path: Path, is_announced: bool) -> None:
    """From one shard into the next."""
    sizes = [(80 + 7 * number, 60 + 11 * number) for number in range(10)]
    entries = [
        CorpusImage(
            uri=_picture(tmp_path, f"{number}.png", seed=number, size=size),
            regions=[_region(2, 1, 40, 3)],
        )
        for number, size in enumerate(sizes)
    ]
    shards = [entries[:4], entries[4:8], entries[8:]]
    results = []
    num_threads = torch.get_num_threads()
    for threads in (1, 2):
        labeller = ImageLabeller(_config(model, batch_images=2))
        torch.set_num_threads(threads)
        try:
            rows: list[ImageRow] = []
            for number, shard in enumerate(shards):
                if is_announced and number + 1 < len(shards):
                    labeller.read_ahead(shards[number + 1])
                labelled, rejects = labeller.label_entries(shard)
                rows += labelled
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(num_threads)
        assert rejects == []
        results.append([_without_numbers(row) for row in rows])
    assert results[0] == results[1]
    assert len(results[0]) == 10


def _without_numbers(row: ImageRow) -> dict[str, object]:
    """A row less its time and the signals, whose last digits depend on the threads."""
    content = row.model_dump(mode="json", exclude={"provenance"})
    for region in content["regions"]:
        region.pop("features", None)
        for label in region["labels"]:
            label["signals"] = [(s["name"], round(s["value"], 3)) for s in label["signals"]]
    return content
