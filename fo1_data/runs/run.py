"""A labelling run from its settings to its manifest, by whatever labellers it is given.

The order of a run stands here once; where its labellers are (in this process, on a Ray cluster) is the
caller's choice. Whatever ends a run early, the same call resumes it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from fo1_data.corpus.unreached import witnesses_of
from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.plurals import counted
from fo1_data.runs.active_run import ActiveRun, open_planned, work_on
from fo1_data.runs.early_checks import ModelChecks, UncheckedModels, check_before_loading
from fo1_data.runs.listing_clock import shown_listing
from fo1_data.runs.plan import images_text, nothing_to_replay, plan_run
from fo1_data.runs.stopping import stopping_on_sigterm
from fo1_data.runs.unasked_kinds import unasked_kinds
from fo1_data.runs.watcher import Unwatched, Watcher
from schemas.dataset import Manifest
from schemas.jobs import RunConfig


class Labellers(Protocol):
    """Labellers that a run can give its shards to."""

    def load(self) -> LabellerIdentity:
        """Load the model and return its identity. Raises CheckpointError, ConfigError or ClusterError."""
        ...

    def label(self, run: ActiveRun) -> None:
        """Label all shards of `run.todo` and hand each report to `run.add`."""
        ...


def label_corpus(
    config: RunConfig,
    start: Callable[[RunConfig, tuple[str, ...]], AbstractContextManager[Labellers]],
    starting: str,
    watcher: Watcher | None = None,
    model_checks: ModelChecks | None = None,
) -> Manifest:
    """Label `config.corpus` into `config.out` and return the manifest of the finished dataset.

    start: gives the labellers for the settings as planned and the witnesses of the corpus
    (`fo1_data.corpus.unreached`); they are entered once the corpus is listed, left when the run ends.
    starting: what entering and loading them does, for a person. model_checks: what is known of them before
    that. Raises the errors of `fo1_data.errors`, KeyboardInterrupt on Ctrl-C and its subclass Terminated on
    SIGTERM.
    """
    watcher = watcher or Unwatched()
    model_checks = model_checks or UncheckedModels()
    watcher.note("checking the settings and listing the corpus")
    model_checks.check()
    with shown_listing(watcher.show_listing) as progress:
        planned = plan_run(config, progress)
    config = planned.config
    if planned.choice is not None:
        watcher.note(str(planned.choice))
    finished = nothing_to_replay(config, planned) or check_before_loading(config, planned, model_checks)
    if finished is not None:
        watcher.note(f"{config.out} is finished: nothing is left to label")
        return finished
    for sentence in unasked_kinds(config, planned.shards.entries):
        watcher.note(f"fo1: {sentence}")
    watcher.note(f"{images_text(planned)} in {counted(len(planned.shards), 'shard')}; {starting}")
    watcher.reached("listed")
    # Ray installs a handler of its own when it starts: ours comes after.
    with start(config, witnesses_of(planned.shards.entries)) as started, stopping_on_sigterm():
        versions = model_checks.versions()
        identity = started.load()
        watcher.reached("model_loaded")
        dataset = open_planned(config, planned, identity, versions)
        if dataset.manifest is not None:
            return dataset.manifest
        with work_on(config, planned, dataset, watcher) as run:
            run.meter.start_clock()
            started.label(run)
            manifest = run.finish(identity)
            watcher.reached("finished")
            return manifest
