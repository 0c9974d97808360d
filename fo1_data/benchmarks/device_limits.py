"""What a GPU can do at most, measured, and which share of it each stage of the engine reaches.

Arithmetic: 2 operations a weight and token (attention's own products are left out, so shares are a
lower bound). Bandwidth: decoding reads every weight of the language model once a step.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from fo1_data.model.checkpoint import Checkpoint

if TYPE_CHECKING:
    from fo1_data.benchmarks.workload import Workload

_SIZE = 8192
_REPEATS = 20


def measure_limits(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """The largest matrix product rate (operations/s) and copy bandwidth (bytes/s) seen on the device."""
    left = torch.randn(_SIZE, _SIZE, device=device, dtype=dtype)
    right = torch.randn(_SIZE, _SIZE, device=device, dtype=dtype)
    product_s = _seconds(lambda: torch.mm(left, right))
    copied = torch.empty_like(left)
    copy_s = _seconds(lambda: copied.copy_(left))
    return {
        "operations_per_s": 2 * _SIZE**3 / product_s,
        "bytes_per_s": 2 * left.nbytes / copy_s,
    }


def _seconds(work: Callable[[], object]) -> float:
    work()
    torch.cuda.synchronize()
    started_s = time.perf_counter()
    for _ in range(_REPEATS):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - started_s) / _REPEATS


def stage_shares(
    checkpoint: Checkpoint,
    workload: "Workload",
    answers: list[list[int]],
    stages: dict[str, float],
    limits: dict[str, float],
) -> dict[str, float]:
    """Shares of the limits: `encode` and `ask` of the arithmetic, `decode_bandwidth` of the bandwidth."""
    model, config = checkpoint.model, checkpoint.config
    text_weights = sum(p.numel() for p in model.language_model.parameters())
    vit_weights = sum(p.numel() for p in model.vision_tower.parameters())
    patches = prefix = 0
    for image, boxes in workload.pictures:
        prepared = checkpoint.processor.prepare(image, boxes)
        grid = prepared.grid_hw[0] * prepared.grid_hw[1]
        patches += grid
        prefix += grid // config.vision.spatial_merge_size**2 + 2 * len(boxes) + 20
    said = sum(map(len, answers))
    steps = max(map(len, answers))
    weight_bytes = text_weights * torch.finfo(model.dtype).bits // 8
    return {
        "encode": 2 * vit_weights * patches / stages["encode_s"] / limits["operations_per_s"],
        "ask": 2 * text_weights * (prefix + said) / stages["ask_s"] / limits["operations_per_s"],
        "decode_bandwidth": weight_bytes * steps / stages["ask_s"] / limits["bytes_per_s"],
    }
