"""A labelling run on Ray: `fo1_data.runs.run` with labellers on a cluster.

One Ray call per shard. The driver holds the lease, counts tries and writes the manifest; it may be killed
at any moment and the same run started again.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from actors.cluster import LOCAL, chosen_address, need_of, nodes, ray_for, refuse_unreachable
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.model_files import ModelFiles
from fo1_data.runs.active_run import ActiveRun
from fo1_data.runs.run import label_corpus
from fo1_data.runs.shard_labeller import IMAGE_LABELLER, LabellerSettings
from fo1_data.runs.shard_work import ShardWork
from fo1_data.runs.watcher import Unwatched, Watcher
from schemas.dataset import Manifest
from schemas.jobs import RunConfig

if TYPE_CHECKING:
    from actors.pool import LabellerPool

TEST_KILL_ON = "FO1_TEST_KILL_ON"


class _PooledLabellers:
    """The labellers of a pool on Ray."""

    def __init__(self, pool: "LabellerPool", config: RunConfig) -> None:
        self._pool, self._config = pool, config

    def load(self) -> LabellerIdentity:
        return self._pool.start()

    def label(self, run: ActiveRun) -> None:
        work = ShardWork(run.todo, self._config.max_tries, run.groups, self._config.shard_size)
        self._pool.run(work, run.dataset.write_options, run)


def run_labelling(
    config: RunConfig, watcher: Watcher | None = None, factory: str = IMAGE_LABELLER
) -> Manifest:
    """Label `config.corpus` into `config.out` on Ray and return the manifest of the finished dataset.

    factory: "module:class" that makes the image labeller in the workers. Raises as `label_corpus` does.
    """
    watcher = watcher or Unwatched()
    address = chosen_address(config)
    starting = "starting a local Ray" if address == LOCAL else f"connecting to Ray at {address}"
    refuse_unreachable(address)
    model_checks = ModelFiles(config, loads_here=address == LOCAL) if factory == IMAGE_LABELLER else None

    def start(planned: RunConfig, witnesses: tuple[str, ...]) -> AbstractContextManager[_PooledLabellers]:
        return _labellers_on_ray(planned, watcher, factory, witnesses)

    return label_corpus(config, start, starting, watcher, model_checks)


@contextmanager
def _labellers_on_ray(
    config: RunConfig, watcher: Watcher, factory: str, witnesses: tuple[str, ...]
) -> Iterator[_PooledLabellers]:
    """Ray and a pool of labellers on it, for the time of the block."""
    with ray_for(config):
        from actors.pool import LabellerPool  # it imports Ray

        watcher.reached("ray_started")
        on_cluster = chosen_address(config) != LOCAL
        settings = LabellerSettings(
            config,
            factory,
            copy_models=on_cluster,
            kill_on=os.environ.get(TEST_KILL_ON) or None,
            witnesses=witnesses,
        )
        least, most = config.actor_range
        timeout_s = config.placement_timeout_s if on_cluster else 0.0
        pool = LabellerPool(settings, need_of(config, nodes()), least, most, timeout_s, watcher.note)
        try:
            yield _PooledLabellers(pool, config)
        finally:
            pool.stop()
