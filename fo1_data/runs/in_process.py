"""A labelling run in this one process, without Ray: the same steps, the same dataset.

For machines without Ray, and the baseline that `fo1 bench pipeline` measures Ray against. An image
that takes the process down takes the run down with it; the same command resumes.
"""

import uuid

from fo1_data.runs.shard_labeller import IMAGE_LABELLER, LabellerSettings, ShardLabeller
from fo1_data.runs.steps import nothing_to_replay, open_planned, plan_run, work_on
from fo1_data.runs.stopping import stopping_on_sigterm
from fo1_data.runs.watcher import Unwatched, Watcher
from schemas.dataset import Manifest
from schemas.jobs import RunConfig

IN_PROCESS = "in-process"


def run_in_process(
    config: RunConfig, watcher: Watcher | None = None, factory: str = IMAGE_LABELLER
) -> Manifest:
    """Label `config.corpus` into `config.out`; returns the manifest of the finished dataset.

    Raises what `fo1_data.errors` lists. `factory` ("module:class") makes the image labeller.
    """
    watcher = watcher or Unwatched()
    planned = plan_run(config)
    if (nothing := nothing_to_replay(config, planned)) is not None:
        return nothing
    watcher.note(f"{planned.num_images} images in {len(planned.shards)} shards; loading the model")
    watcher.reached("listed")
    labeller = ShardLabeller(LabellerSettings(config, factory))
    identity = labeller.load()
    watcher.reached("model_loaded")
    run = open_planned(config, planned, identity)
    if run.manifest is not None:
        return run.manifest
    with stopping_on_sigterm(), work_on(config, planned, run, watcher) as work:
        work.meter.start_clock()
        for shard in work.todo:
            work.add(labeller.label_shard(shard, uuid.uuid4().hex[:12], run.write_options))
        manifest = work.finish(identity)
        watcher.reached("finished")
        return manifest
