"""Chat samples for trainers: `<split>.jsonl` and `images/`, in the form one trainer reads.

    trl          {"messages": [...], "images": [path]}   text without placeholder: TRL puts its own
    ms-swift     the same, with a literal `<image>` at the head of the first question
    llama-factory  as ms-swift, and a `dataset_info.json` that names columns and roles

A sample is one image with a turn for each thing said of it: a caption for each captioned region, the
image's caption, one turn for each detection or grounding, counts, answers. Boxes stand in the text
as absolute pixels `[x_min, y_min, x_max, y_max]` of the upright image, which is what is written
if the stored one is turned; a box goes out to the next whole pixel on every side, so that a thin one keeps
its width. Images keep their names below `images/`; their paths begin with `image_root`. Confidences and
decisions are dropped: publish what was accepted first.
"""

import json
import math
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.card import splits_of
from fo1_data.dataset.exports.names import names_of
from fo1_data.dataset.light_rows import light_rows
from fo1_data.dataset.pixels import suffix_of_bytes, upright, with_bytes
from fo1_data.dataset.reader import Dataset
from fo1_data.dataset.versions.publish import without_stale
from fo1_data.model.reserved_tokens import broken_up
from fo1_data.storage.store import Store
from schemas.images import Answer, ImageRow
from schemas.labels import LabelKind
from schemas.regions import Region

Profile = Literal["trl", "ms-swift", "llama-factory"]

Turn = tuple[str, str]

# What is asked about the text of one region, at `{place}`.
TEXT_QUESTIONS = {
    LabelKind.BRIEF_CAPTION: "Describe the region {place} in a few words.",
    LabelKind.DETAILED_CAPTION: "Describe the region {place} in detail.",
    LabelKind.OCR: "What does the text in the region {place} say?",
}
EXAMPLE_QUESTION = "Which boxes show more of what is in the region {place}?"

# Boxes are float32, often made from shares of the image with six digits.
_PRECISION_PX = 1 / 32


def export_messages(
    dataset: Dataset, store: Store, limits: InputLimits, profile: str, image_root: str = ""
) -> dict[str, int]:
    """Write every split for `profile`, less images with nothing said; returns how many samples and turns."""
    samples = turns = 0
    names = names_of(dataset)
    splits = splits_of(dataset.manifest.files)
    said: deque[list[Turn]] = deque()  # of the rows whose images are fetched ahead

    def rows_that_speak(split: str) -> Iterator[ImageRow]:
        for row in light_rows(dataset, split):
            if turns_of_row := list(image_turns(row)):
                said.append(turns_of_row)
                yield row

    for split in splits:
        lines = []
        for row, stored in with_bytes(rows_that_speak(split), limits):
            data = upright(row, stored, limits)
            path = f"images/{names.stem(row, 'images')}.{suffix_of_bytes(data)}"
            store.write_bytes(path, data)
            turns_of_row = said.popleft()
            lines.append(json.dumps(_sample(turns_of_row, image_root + path, profile), ensure_ascii=False))
            samples, turns = samples + 1, turns + len(turns_of_row)
        store.write_bytes(f"{split}.jsonl", "".join(f"{line}\n" for line in lines).encode())
    if profile == "llama-factory":
        document = {
            f"{dataset.manifest.name}_{split}": _llama_factory_entry(f"{split}.jsonl") for split in splits
        }
        store.write_bytes("dataset_info.json", json.dumps(document, indent=2).encode())
    return {"samples": samples, "turns": turns}


def image_turns(row: ImageRow) -> Iterator[Turn]:
    """Question and answer for each thing that a row says; what was answered with nothing is not asked.

    What lost its ground when people changed boxes is not said.

    Reserved tokens in the row's texts are broken up, so that no text is taken for the picture's place or for
    a chat template's own marks.
    """
    row = without_stale(row)
    boxes = {region.region_id: box_text(region) for region in row.regions}
    for region in row.regions:
        texts = (region.brief_caption, region.detailed_caption, region.text)
        for question, text in zip(TEXT_QUESTIONS.values(), texts, strict=True):
            if text and text.strip():
                yield question.format(place=box_text(region)), broken_up(text)
    if row.caption and row.caption.strip():
        yield "Describe the image.", broken_up(row.caption)
    for part in row.groundings:
        if part.kind is LabelKind.VISUAL_EXAMPLE:
            if part.phrase in boxes:
                yield (
                    EXAMPLE_QUESTION.format(place=boxes[part.phrase]),
                    boxes_text(part.region_ids, boxes) or "There is none.",
                )
        elif part.kind is not LabelKind.GROUNDED_CAPTION:
            yield (
                f"Where is {broken_up(part.phrase)}? Answer with boxes.",
                boxes_text(part.region_ids, boxes) or "There is none.",
            )
    for count in row.counts:
        yield f"How many of these are there: {broken_up(count.phrase)}?", str(count.count)
    for answer in row.answers:
        if answer.answer.strip() and (answer.region_id is None or answer.region_id in boxes):
            text = broken_up(answer.answer)
            if answer.reasoning:
                text = f"<think>{broken_up(answer.reasoning)}</think><answer>{text}</answer>"
            yield own_question(answer, boxes), text


def own_question(answer: Answer, boxes: Mapping[str, str]) -> str:
    """A free question, which names its region by its box."""
    place = f"the region {boxes[answer.region_id]}" if answer.region_id is not None else ""
    return broken_up(answer.question).replace("{region}", place)


def _sample(turns: list[Turn], path: str, profile: str) -> dict[str, Any]:
    messages = []
    for position, (question, answer) in enumerate(turns):
        head = "<image>" if position == 0 and profile != "trl" else ""
        messages += [
            {"role": "user", "content": head + question},
            {"role": "assistant", "content": answer},
        ]
    return {"messages": messages, "images": [path]}


def _llama_factory_entry(file_name: str) -> dict[str, Any]:
    return {
        "file_name": file_name,
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": {
            "role_tag": "role",
            "content_tag": "content",
            "user_tag": "user",
            "assistant_tag": "assistant",
        },
    }


def box_text(region: Region) -> str:
    """A region's box in whole pixels that hold all of it, as it stands in a question or an answer.

    What is nearer to a whole pixel than boxes are precise does not go on to the next.
    """
    low = [math.floor(value + _PRECISION_PX) for value in region.box_xyxy[:2]]
    high = [math.ceil(value - _PRECISION_PX) for value in region.box_xyxy[2:]]
    return json.dumps([*low, *(max(pair) for pair in zip(high, (value + 1 for value in low), strict=True))])


def boxes_text(region_ids: list[str], boxes: dict[str, str]) -> str:
    """The boxes of several regions as an answer; empty if none is named."""
    return ", ".join(boxes[region_id] for region_id in region_ids if region_id in boxes)
