"""What answering a workload takes at the least: operations and bytes, counted from the model's shapes.

Encoding runs once an image. Prefill runs an image's prompt once, the tokens with which its questions of one
kind all start once, and the other tokens of each question. A decoding step takes one token of each question
in flight; questions come in waves of at most `num_slots`. Padding and repeated work do not count, so the
shares below are lower bounds of how busy the device is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fo1_data.benchmarks.operations import decoder_operations, encoder_operations, weights_read_by_step
from fo1_data.benchmarks.workload import Workload
from fo1_data.model.bases.family import TextConfig
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.processing import PreparedImage
from fo1_data.model.prompts import question_text


@dataclass(frozen=True)
class QuestionGroup:
    """Questions of one kind about one image, in tokens: its prompt, their common start, and each of them.

    tails: tokens of each question after the prompt, with the common start. answers: tokens of each answer.
    """

    prefix: int
    common: int
    tails: Sequence[int]
    answers: Sequence[int]


@dataclass(frozen=True)
class Work:
    """Operations of each stage, the least number of decoding steps, and the bytes that these read."""

    encode_operations: int
    prefill_operations: int
    decode_operations: int
    decode_steps: int
    decode_bytes: int


def work_of(
    checkpoint: Checkpoint,
    workload: Workload,
    prepared: Sequence[PreparedImage],
    answers: Sequence[list[int]],
    num_slots: int,
) -> Work:
    """The work of a workload whose answers are known, in order of image, kind and region."""
    config, dtype = checkpoint.model.config, checkpoint.model.dtype
    images = _groups(checkpoint, workload, prepared, answers)
    lengths = [length for groups in images for group in groups for length in group.answers]
    steps = decode_steps(lengths, num_slots)
    return Work(
        encode_operations=sum(
            encoder_operations(config, image.grid_hw, _image_hw(image), len(image.aux_boxes))
            for image in prepared
        ),
        prefill_operations=sum(prefill_operations(config.text, groups) for groups in images),
        decode_operations=sum(decode_operations(config.text, groups) for groups in images),
        decode_steps=steps,
        decode_bytes=(
            steps * weights_read_by_step(config.text)
            + sum(cached_values_read(config.text, groups) for groups in images)
        )
        * dtype.itemsize,
    )


def _image_hw(image: PreparedImage) -> tuple[int, int]:
    _, height, width = image.aux_image.shape
    return height, width


def _groups(
    checkpoint: Checkpoint,
    workload: Workload,
    prepared: Sequence[PreparedImage],
    answers: Sequence[list[int]],
) -> list[list[QuestionGroup]]:
    """The groups of each image, one for each kind."""
    tokenizer, merged = checkpoint.tokenizer, checkpoint.model.config.vision.spatial_merge_size**2
    lengths = iter(map(len, answers))
    images: list[list[QuestionGroup]] = []
    for image in prepared:
        num_regions, num_patches = len(image.aux_boxes), image.grid_hw[0] * image.grid_hw[1]
        # The image's placeholder becomes its tokens.
        prefix = len(tokenizer.prefix_ids(num_regions)) - 1 + num_patches // merged
        images.append([])
        for kind in workload.kinds:
            tails = [tokenizer.tail_ids(question_text(kind, region=i)) for i in range(num_regions)]
            common = _num_common(tails)
            images[-1].append(
                QuestionGroup(prefix, common, [*map(len, tails)], [next(lengths) for _ in tails])
            )
    return images


def _num_common(tails: Sequence[list[int]]) -> int:
    """The number of ids with which all tails start, less than the shortest tail."""
    shortest = min(map(len, tails)) - 1
    return next((i for i in range(shortest) if len({tail[i] for tail in tails}) > 1), shortest)


def prefill_operations(config: TextConfig, groups: Sequence[QuestionGroup]) -> int:
    """Operations from an image's prompt to the first token of each of its answers."""
    total = decoder_operations(config, 0, groups[0].prefix, 0)
    for group in groups:
        start = group.prefix + group.common
        total += decoder_operations(config, group.prefix, start, 0)
        total += sum(decoder_operations(config, start, group.prefix + tail, 1) for tail in group.tails)
    return total


def decode_operations(config: TextConfig, groups: Sequence[QuestionGroup]) -> int:
    """Operations of all tokens of an image's answers but the first: the last of them is not run."""
    return sum(
        decoder_operations(config, group.prefix + tail, group.prefix + tail + answer - 1, answer - 1)
        for group in groups
        for tail, answer in zip(group.tails, group.answers, strict=True)
    )


def decode_steps(answers: Sequence[int], num_slots: int) -> int:
    """The least number of steps for answers of these many tokens, `num_slots` at a time.

    The first token of an answer comes from prefill. The longest answer takes its own length, and a step makes
    at most `num_slots` tokens.
    """
    remaining = [length - 1 for length in answers]
    return max(max(remaining), -(-sum(remaining) // num_slots))


def cached_values_read(config: TextConfig, groups: Sequence[QuestionGroup]) -> int:
    """The cached numbers that the decoding steps of an image's questions read.

    A token has 2 K E of them in each layer. The prompt's are read once for each step of the longest answer,
    whatever the number of questions; each question's own once for each of its steps.
    """
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim
    tokens = groups[0].prefix * (max(max(group.answers) for group in groups) - 1)
    for group in groups:
        for tail, answer in zip(group.tails, group.answers, strict=True):
            tokens += sum(range(tail + 1, tail + answer))
    return per_token * tokens


def shares_of_limits(work: Work, stages: dict[str, float], limits: dict[str, float]) -> dict[str, float]:
    """Shares of the device's limits: `decode_bandwidth` of its bandwidth, all others of its arithmetic.

    stages: `encode_s`, `ask_s`, and where they were told apart `prefill_s` and `decode_s`; preparing images
    is part of none. limits: of `measure_limits`.
    """
    asked = work.prefill_operations + work.decode_operations
    operations = {
        "encode": (work.encode_operations, stages["encode_s"]),
        "ask": (asked, stages["ask_s"]),
        "all": (work.encode_operations + asked, stages["encode_s"] + stages["ask_s"]),
    }
    if stages.get("decode_s", 0) > 0:
        operations["prefill"] = work.prefill_operations, stages["prefill_s"]
        operations["decode"] = work.decode_operations, stages["decode_s"]
    # The clock of a small model's stage may not have moved.
    shares = {name: done / s / limits["operations_per_s"] for name, (done, s) in operations.items() if s > 0}
    if stages.get("decode_s", 0) > 0:
        shares["decode_bandwidth"] = work.decode_bytes / stages["decode_s"] / limits["bytes_per_s"]
    return shares
