"""A labelling run on Ray: the steps of `fo1_data.runs.steps` with labellers on a cluster.

One Ray call a shard. The driver holds the lease, counts tries, writes the manifest; it may be killed
at any moment and the same run started again.
"""

import os

from actors.cluster import LOCAL, chosen_address, need_of, nodes, ray_for
from actors.pool import LabellerPool
from fo1_data.runs.shard_labeller import IMAGE_LABELLER, LabellerSettings
from fo1_data.runs.shard_work import ShardWork
from fo1_data.runs.steps import nothing_to_replay, open_planned, plan_run, work_on
from fo1_data.runs.stopping import stopping_on_sigterm
from fo1_data.runs.watcher import Unwatched, Watcher
from schemas.dataset import Manifest
from schemas.jobs import RunConfig

TEST_KILL_ON = "FO1_TEST_KILL_ON"


def run_labelling(
    config: RunConfig, watcher: Watcher | None = None, factory: str = IMAGE_LABELLER
) -> Manifest:
    """Label `config.corpus` into `config.out` on Ray; returns the manifest of the finished dataset.

    Raises what `fo1_data.errors` lists, KeyboardInterrupt on Ctrl-C and its subclass Terminated on
    SIGTERM; whatever ends a run early, the same call goes on with it. `factory` ("module:class")
    makes the image labeller in the workers.
    """
    watcher = watcher or Unwatched()
    planned = plan_run(config)
    if (nothing := nothing_to_replay(config, planned)) is not None:
        return nothing
    watcher.note(f"{planned.num_images} images in {len(planned.shards)} shards; {_starting(config)}")
    watcher.reached("listed")
    with ray_for(config), stopping_on_sigterm():
        watcher.reached("ray_started")
        pool = _pool(config, factory, watcher)
        try:
            identity = pool.start()
            watcher.reached("model_loaded")
            run = open_planned(config, planned, identity)
            if run.manifest is not None:
                return run.manifest
            with work_on(config, planned, run, watcher) as work:
                work.meter.start_clock()
                todo = ShardWork(work.todo, config.max_tries)
                pool.run(todo, run.write_options, work.add, work.tick, work.find_report)
                manifest = work.finish(identity)
                watcher.reached("finished")
                return manifest
        finally:
            pool.stop()


def _starting(config: RunConfig) -> str:
    address = chosen_address(config)
    return "starting a local Ray" if address == LOCAL else f"connecting to Ray at {address}"


def _pool(config: RunConfig, factory: str, watcher: Watcher) -> LabellerPool:
    least, most = config.actor_range
    on_cluster = chosen_address(config) != LOCAL
    settings = LabellerSettings(
        config, factory, copy_models=on_cluster, kill_on=os.environ.get(TEST_KILL_ON) or None
    )
    return LabellerPool(
        settings,
        need_of(config, nodes()),
        least,
        most,
        config.placement_timeout_s if on_cluster else 0.0,
        watcher.note,
    )
