"""A labelling run in this process, without Ray: the same steps, the same dataset.

For machines without Ray, and the baseline that `fo1 bench pipeline` compares Ray with. An image that
kills the process ends the run; the same command resumes it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, pairwise

from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.labelling.model_files import ModelFiles
from fo1_data.runs.active_run import ActiveRun
from fo1_data.runs.run import label_corpus
from fo1_data.runs.shard_labeller import IMAGE_LABELLER, LabellerSettings, ShardLabeller
from fo1_data.runs.shard_work import new_try
from fo1_data.runs.watcher import Watcher
from schemas.dataset import Manifest
from schemas.jobs import RunConfig

IN_PROCESS = "in-process"


class _OwnLabeller:
    """One labeller, in this process."""

    def __init__(self, settings: LabellerSettings) -> None:
        self._on_change: Callable[[], None] = lambda: None
        self._labeller = ShardLabeller(settings, lambda: self._on_change())

    def load(self) -> LabellerIdentity:
        return self._labeller.load()

    def label(self, run: ActiveRun) -> None:
        self._on_change = lambda: run.add_inside(self._labeller.work_done()[1])
        self._gather(run)
        for shard, following in pairwise(chain(run.todo, [None])):
            assert shard is not None
            if following is not None:
                self._labeller.read_ahead(following)
            report = self._labeller.label_shard(shard, new_try(), run.dataset.write_options)
            run.groups.add(report)
            run.add(report)
            self._gather(run)

    def _gather(self, run: ActiveRun) -> None:
        """Gather the files of the shards that fill a file, and at the end those of the rest."""
        for group in run.groups.take_ready():
            self._labeller.gather_shards(group, new_try(), run.dataset.write_options)
            run.tick()


def run_in_process(
    config: RunConfig, watcher: Watcher | None = None, factory: str = IMAGE_LABELLER
) -> Manifest:
    """Label `config.corpus` into `config.out` and return the manifest of the finished dataset.

    factory: "module:class" that makes the image labeller. Raises as `label_corpus` does.
    """
    model_checks = ModelFiles(config, loads_here=True) if factory == IMAGE_LABELLER else None

    def start(planned: RunConfig, witnesses: tuple[str, ...]) -> AbstractContextManager[_OwnLabeller]:
        return nullcontext(_OwnLabeller(LabellerSettings(planned, factory, witnesses=witnesses)))

    return label_corpus(config, start, "loading the model", watcher, model_checks)
