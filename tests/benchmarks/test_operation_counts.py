"""Operations and bytes: by hand for tiny shapes, and against the counter of PyTorch."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from fo1_data.benchmarks.engine_stages import run_in_stages
from fo1_data.benchmarks.engine_work import (
    QuestionGroup,
    Work,
    cached_values_read,
    decode_operations,
    decode_steps,
    prefill_operations,
    shares_of_limits,
    work_of,
)
from fo1_data.benchmarks.operations import (
    davit_operations,
    decoder_operations,
    region_operations,
    vit_operations,
    weights_read_by_step,
)
from fo1_data.benchmarks.workload import make_workload
from fo1_data.model.bases.family import TextConfig
from fo1_data.model.bases.qwen2_5_vl import WindowedVisionConfig
from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.configuration import AuxiliaryConfig, Fo1Config, RegionConfig
from fo1_data.model.engine.engine import Fo1Engine
from schemas.labels import LabelKind

# Two query heads and one key-value head of width 2.
TEXT = TextConfig(
    hidden_size=4,
    intermediate_size=6,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    vocab_size=10,
    mrope_section=(1, 0, 0),
)
# Windows of 4 x 4 patches in the first block, the whole image in the second.
VISION = WindowedVisionConfig(
    depth=2,
    hidden_size=4,
    intermediate_size=6,
    num_heads=1,
    out_hidden_size=8,
    fullatt_block_indexes=(1,),
    window_size=56,
)
AUXILIARY = AuxiliaryConfig(
    dim_embed=(2,),
    depths=(1,),
    num_heads=(1,),
    num_groups=(1,),
    patch_size=(7,),
    patch_stride=(4,),
    patch_padding=(3,),
    patch_prenorm=(False,),
    window_size=2,
)
CONFIG = Fo1Config(TEXT, VISION, AUXILIARY, RegionConfig(fpn_channels=2))


def test_the_vit_by_hand() -> None:
    # 4 x 6 = 24 patches of 3 * 2 * 14 * 14 = 1176 values, 6 image tokens.
    embedding = 2 * 24 * 1176 * 4  # 225,792
    # A block's weights: qkv 4 * 12 = 48, output 16, three of 4 * 6 in the feed-forward part: 136.
    weights = 2 * (2 * 24 * 136)  # 13,056
    # A pair of patches: 2 * 4 each for score and value. Windows of 16 and 8 patches, then all 24.
    attention = 16 * (16 * 16 + 8 * 8) + 16 * 24 * 24  # 5,120 + 9,216
    merger = 2 * 6 * (16 * 16 + 16 * 8)  # 4,608
    assert vit_operations(VISION, (4, 6)) == embedding + weights + attention + merger == 257_792


def test_davit_by_hand() -> None:
    # 9 x 12 pixels, stride 4: a map of 3 x 3 cells, padded to 4 x 4 = 4 windows of 2 x 2.
    convolution = 2 * 7 * 7 * 3 * 2 * 9  # 5,292
    # Each half: two depthwise convolutions of 2 channels (324 each), and 2 -> 8 -> 2 channels (576).
    both_halves = 2 * (2 * 324 + 576)  # 2,448
    # qkv and output on 16 cells, then 4 windows of 4 * 4 pairs, 2 * 2 operations for score and value each.
    spatial = 2 * 16 * 2 * 6 + 2 * 16 * 2 * 2 + 4 * 16 * 8  # 1,024
    # qkv and output on 9 cells, then scores of 2 x 2 channels over 9 cells, and values.
    channel = 2 * 9 * 2 * 6 + 2 * 9 * 2 * 2 + 2 * (2 * 4 * 9)  # 432
    assert davit_operations(AUXILIARY, (9, 12)) == convolution + both_halves + spatial + channel == 9_196


def test_the_region_encoder_by_hand() -> None:
    # A 2 x 2 patch grid: maps of 8 x 8, 4 x 4, 2 x 2 and 1 x 1 cells; DaViT's map has 3 x 3; 3 regions.
    upsampling = 2 * (2 * 4 * 4 * 4 * 2) + 2 * 16 * 4 * 2 * 1  # twice 4 -> 2 channels, then 2 -> 1: 768
    one_by_one = 2 * (64 * 1 + 16 * 2 + 4 * 4 + 1 * 4) * 2  # 464
    three_by_three = 2 * (64 + 16 + 4 + 1) * 9 * 2 * 2  # 6,120
    # Rows then columns: 2 * 3 regions * 2 channels * (cells + columns).
    pooling = 12 * ((9 + 3) + (64 + 8) + (16 + 4) + (4 + 2) + (1 + 1))  # 1,344
    projection = 2 * 3 * (10 * 4 + 4 * 4)  # 2 + 4 * 2 channels -> 4 -> 4: 336
    total = upsampling + one_by_one + three_by_three + pooling + projection
    assert region_operations(CONFIG, (2, 2), (9, 12), 3) == total == 9_032


def test_the_decoder_by_hand() -> None:
    # A layer: queries 16, keys and values 16, output 16, feed-forward 72. A pair of tokens: 2 heads * 8.
    # Three tokens, none read: the first layer whole and the keys and values of the second; 1 + 2 + 3 pairs.
    assert decoder_operations(TEXT, 0, 3, 0) == 2 * 3 * (120 + 16) + 16 * 6 == 912
    # Two more, the last one read: it goes through the second layer (104) and the head (40), with 5 pairs.
    assert decoder_operations(TEXT, 3, 5, 1) == 2 * (2 * 136 + 104 + 40) + 16 * (4 + 5) + 16 * 5 == 1_056
    # The table's rows are looked up: only the head reads it whole.
    assert weights_read_by_step(TEXT) == 2 * 120 + 4 * 10


def test_questions_by_hand() -> None:
    group = QuestionGroup(prefix=3, common=1, tails=[2, 3], answers=[3, 1])
    prompt, common = 912, 2 * 136 + 16 * 4
    # Tails of one and of two tokens behind the common one, each with one token read.
    first = 2 * (136 + 144) + 16 * 5 + 16 * 5
    second = 2 * (2 * 136 + 144) + 16 * (5 + 6) + 16 * 6
    assert prefill_operations(TEXT, [group]) == prompt + common + first + second == 3_072
    # The first answer's second and third token, at places 5 and 6, both read; the second answer has no more.
    assert decode_operations(TEXT, [group]) == 2 * 2 * (136 + 144) + 2 * 16 * (6 + 7) == 1_536
    # 8 numbers a token: the prompt twice; of the first question's own tokens 3, then 4.
    assert cached_values_read(TEXT, [group]) == 8 * (3 * 2 + 3 + 4) == 104


def test_questions_come_in_waves() -> None:
    assert decode_steps([4, 2, 1], num_slots=8) == 3  # the longest answer, less the token of prefill
    assert decode_steps([5] * 6, num_slots=2) == 12  # three waves of four steps
    assert decode_steps([9, 2, 2, 2], num_slots=2) == 8  # the others fit beside the longest
    assert decode_steps([1, 1], num_slots=1) == 0


def test_shares_are_work_over_time_over_the_limit() -> None:
    work = Work(
        encode_operations=600,
        prefill_operations=300,
        decode_operations=100,
        decode_steps=2,
        decode_bytes=50,
    )
    stages = {"prepare_s": 9.0, "encode_s": 2.0, "ask_s": 3.0, "prefill_s": 1.0, "decode_s": 2.0}
    assert shares_of_limits(work, stages, {"operations_per_s": 1000, "bytes_per_s": 100}) == pytest.approx(
        {
            "encode": 0.3,
            "prefill": 0.3,
            "decode": 0.05,
            "ask": 400 / 3000,
            "all": 0.2,
            "decode_bandwidth": 0.25,
        }
    )


@pytest.mark.parametrize("num_regions", [1, 20])
def test_the_counts_agree_with_those_of_pytorch(num_regions: int) -> None:
    """Encoding within 1 %; asking is at most 5 % below what the engine runs, which pads some questions."""
    checkpoint = load_checkpoint("fo1-tiny", device=torch.device("cpu"), dtype=torch.float32)
    workload = make_workload(1, num_regions, [LabelKind.BRIEF_CAPTION], 16, seed=9_000_000)
    engine = Fo1Engine(checkpoint)

    with FlopCounterMode(display=False) as counter:
        run = run_in_stages(engine, workload)
    with FlopCounterMode(display=False) as encoding, torch.inference_mode():
        checkpoint.model.encode_images(run.prepared)

    work = work_of(checkpoint, workload, run.prepared, run.answers, engine.num_slots)
    encode = encoding.get_total_flops()
    assert work.encode_operations == pytest.approx(encode, rel=0.01)
    asked = work.prefill_operations + work.decode_operations
    assert 0.95 <= asked / (counter.get_total_flops() - encode) <= 1
