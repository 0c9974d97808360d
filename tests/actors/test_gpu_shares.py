"""Who sees which GPU, on a Ray with two logical ones: what a process has reserved, and nothing else."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import ray
from quick_labeller import FACTORY

from actors.labeller import LabellerActor
from actors.serving import Predictor
from fo1_data.runs.shard_labeller import LabellerSettings
from schemas.jobs import RunConfig


@pytest.fixture(scope="module")
def ray_with_two_gpus() -> Iterator[None]:
    ray.init(
        address="local", num_cpus=4, num_gpus=2, object_store_memory=100 * 2**20, include_dashboard=False
    )
    yield
    ray.shutdown()


def visible(actor: Any) -> str | None:
    """What CUDA shows to a process, as Ray or the process itself has set it."""
    return ray.get(actor.__ray_call__.remote(lambda self: os.environ.get("CUDA_VISIBLE_DEVICES")))  # type: ignore[no-any-return]


@pytest.mark.usefixtures("ray_with_two_gpus")
def test_a_process_sees_the_gpus_that_it_reserved() -> None:
    settings = LabellerSettings(RunConfig(corpus="-", out="-"), FACTORY)
    unreserved = LabellerActor.options(num_cpus=0.5, num_gpus=0).remote(settings)
    labeller = LabellerActor.options(num_cpus=0.5, num_gpus=1).remote(settings)
    predictors = [
        ray.remote(num_cpus=0.1, num_gpus=share)(Predictor).remote("fo1-tiny", None) for share in (0, 0.5)
    ]
    assert (visible(unreserved), visible(predictors[0])) == ("", "")
    seen = {visible(labeller), visible(predictors[1])}
    assert seen == {"0", "1"}, "a predictor and a labeller share a GPU, or do not see theirs"
