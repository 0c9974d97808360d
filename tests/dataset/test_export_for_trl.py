"""`--format messages --profile trl` goes through TRL's own collator, with a real processor and its images."""

from pathlib import Path
from typing import Any

import pytest
import trl
from datasets import Dataset, Image, List, load_dataset
from factories import make_answer, make_count, make_dataset, make_row
from transformers import AutoTokenizer, Qwen2VLProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

from fo1_data.dataset.exports.export import export_dataset
from fo1_data.dataset.exports.messages import image_turns
from fo1_data.model.checkpoint_folder import find_checkpoint
from schemas.images import ImageRow

IGNORED = -100


@pytest.fixture
def rows(tmp_path: Path) -> list[ImageRow]:
    rows = [make_row(seed, num_regions=1 + seed, folder=tmp_path / "images") for seed in range(3)]
    rows[0].counts = [make_count(rows[0].regions)]
    rows[1].answers = [make_answer(rows[1].regions[0].region_id)]
    make_dataset(tmp_path / "d", rows)
    return rows


@pytest.fixture(scope="module")
def processor() -> Qwen2VLProcessor:
    """Qwen2-VL's processor as released, on the bundled checkpoint's small vocabulary."""
    template = Path(trl.__file__).parent / "chat_templates" / "qwen2_5_vl_training.jinja"
    tokenizer = AutoTokenizer.from_pretrained(find_checkpoint("fo1-tiny"))
    return Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=112 * 112),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=template.read_text("utf-8"),
    )


def loaded(out: Path) -> Dataset:
    """What a user hands to SFTTrainer: the file, its paths made whole, its images decoded when read."""
    lines = load_dataset(
        "json", data_files=str(out / "train.jsonl"), split="train", cache_dir=str(out.parent / "cache")
    )
    whole = lines.map(lambda line: {"images": [str(out / path) for path in line["images"]]})
    return whole.cast_column("images", List(Image()))


def collated(samples: Dataset, processor: Qwen2VLProcessor) -> dict[str, Any]:
    collator = DataCollatorForVisionLanguageModeling(processor=processor, assistant_only_loss=True)
    return collator(list(samples))


def test_images_and_answers_arrive_through_trls_collator(
    tmp_path: Path, rows: list[ImageRow], processor: Qwen2VLProcessor
) -> None:
    export_dataset(str(tmp_path / "d"), "messages", str(tmp_path / "out"), "trl")
    samples = loaded(tmp_path / "out")
    batch = collated(samples, processor)
    assert len(batch["image_grid_thw"]) == sum(len(sample["images"]) for sample in samples) == len(rows)
    assert batch["pixel_values"].shape[0] == batch["image_grid_thw"].prod(dim=1).sum()
    places = batch["input_ids"] == processor.image_token_id
    merged = batch["image_grid_thw"].prod(dim=1) // processor.image_processor.merge_size**2
    assert places.sum(dim=1).tolist() == merged.tolist()
    for ids, labels, row in zip(batch["input_ids"], batch["labels"], rows, strict=True):
        asked = processor.tokenizer.decode(ids)
        learned = processor.tokenizer.decode(ids[labels != IGNORED])
        answers = [answer for _, answer in image_turns(row)]
        assert [part.strip() for part in learned.split("<|im_end|>")[:-1]] == answers
        assert all(question in asked and question not in learned for question, _ in image_turns(row))


@pytest.mark.parametrize("placeholder", ["<image>", "<|image_pad|>", "<|im_end|>", "<video>"])
def test_text_that_reads_like_a_placeholder_takes_no_images_place(
    tmp_path: Path, rows: list[ImageRow], processor: Qwen2VLProcessor, placeholder: str
) -> None:
    rows[0].regions[0].brief_caption = f"a sign that says {placeholder}"
    make_dataset(tmp_path / "odd", rows)
    export_dataset(str(tmp_path / "odd"), "messages", str(tmp_path / "out"), "trl")
    assert placeholder not in (tmp_path / "out" / "train.jsonl").read_text("utf-8")
    assert len(collated(loaded(tmp_path / "out"), processor)["image_grid_thw"]) == len(rows)
