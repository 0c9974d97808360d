"""The measured limits of a GPU, and the share of them that each stage of the engine reaches.

Arithmetic: 2 operations for each weight and token; the products of attention are not counted, so the shares
are lower bounds. Bandwidth: each decoding step reads every weight of the language model once.
"""

import time
from collections.abc import Callable

import torch

from fo1_data.benchmarks.workload import Workload
from fo1_data.model.checkpoint import Checkpoint

_SIZE = 8192
_REPEATS = 20


def measure_limits(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """The rate of a large matrix product (operations/s) and of a copy (bytes/s) on the device."""
    a = torch.randn(_SIZE, _SIZE, device=device, dtype=dtype)
    b = torch.randn(_SIZE, _SIZE, device=device, dtype=dtype)
    product_s = _seconds(lambda: torch.mm(a, b))
    copy = torch.empty_like(a)
    copy_s = _seconds(lambda: copy.copy_(a))
    return {
        "operations_per_s": 2 * _SIZE**3 / product_s,
        "bytes_per_s": 2 * a.nbytes / copy_s,
    }


def _seconds(work: Callable[[], object]) -> float:
    """The mean seconds of a call, after one call to warm up."""
    work()
    torch.cuda.synchronize()
    started_s = time.perf_counter()
    for _ in range(_REPEATS):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - started_s) / _REPEATS


def stage_shares(
    checkpoint: Checkpoint,
    workload: Workload,
    answers: list[list[int]],
    stages: dict[str, float],
    limits: dict[str, float],
) -> dict[str, float]:
    """Shares of the limits: `encode` and `ask` of the arithmetic, `decode_bandwidth` of the bandwidth.

    `answers`: the token ids of each answer; `stages`: `encode_s` and `ask_s`; `limits`: of `measure_limits`.
    """
    model, config = checkpoint.model, checkpoint.config
    num_text_weights = sum(p.numel() for p in model.language_model.parameters())
    num_vit_weights = sum(p.numel() for p in model.vision_tower.parameters())
    num_patches = num_prefix_tokens = 0
    for image, boxes in workload.images:
        prepared = checkpoint.processor.prepare(image, boxes)
        grid = prepared.grid_hw[0] * prepared.grid_hw[1]
        num_patches += grid
        num_prefix_tokens += grid // config.vision.spatial_merge_size**2 + 2 * len(boxes) + 20
    num_tokens = num_prefix_tokens + sum(map(len, answers))
    num_steps = max(map(len, answers))
    weight_bytes = num_text_weights * torch.finfo(model.dtype).bits // 8
    return {
        "encode": 2 * num_vit_weights * num_patches / stages["encode_s"] / limits["operations_per_s"],
        "ask": 2 * num_text_weights * num_tokens / stages["ask_s"] / limits["operations_per_s"],
        "decode_bandwidth": weight_bytes * num_steps / stages["ask_s"] / limits["bytes_per_s"],
    }
