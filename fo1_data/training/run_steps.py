"""The steps of a run with its measurements, what it tells, and what it saves and resumes from.

`run` opens the images and the checkpoint that it is made from.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fo1_data.dataset.versions.lineage import describe_inputs, write_lineage
from fo1_data.errors import RunError
from fo1_data.model.checkpoint import Checkpoint
from fo1_data.model.checkpoint_folder import checkpoint_sha256
from fo1_data.storage.addresses import normalise
from fo1_data.training.apart import save_apart
from fo1_data.training.best_kept import Kept, forget_kept, keep_best, load_kept, refuse_damaged
from fo1_data.training.early_verdict import EarlyVerdict
from fo1_data.training.events import Measured, Outlook, RunBegun, StepDone, Watch
from fo1_data.training.journal import Journal
from fo1_data.training.layout import APART, BEST, PATIENCE, STATE
from fo1_data.training.memory import peak_memory_bytes
from fo1_data.training.model_card import write_model_card
from fo1_data.training.outlook import linear_outlook
from fo1_data.training.rate_finder import find_learning_rate
from fo1_data.training.run_folder import load_settings, write_settings
from fo1_data.training.samples.batches import LIMITS, Batches
from fo1_data.training.samples.chats import ChatDraws, ChatFile
from fo1_data.training.samples.distractors import load_distractors
from fo1_data.training.samples.inventory import take_inventory
from fo1_data.training.samples.negatives import PhraseBook
from fo1_data.training.samples.rare_regions import oversample_rare
from fo1_data.training.samples.source import ExampleSource
from fo1_data.training.settings import Stage, TrainConfig
from fo1_data.training.stages import new_token_ids
from fo1_data.training.stop_signals import asking, stop_name, stop_number, stop_signals
from fo1_data.training.trainer import Trainer
from fo1_data.training.validation import Validation


class Run:
    """A run in the folder `out`, with its trainer, images, log and measurements."""

    def __init__(
        self,
        source: ExampleSource,
        validation: ExampleSource | None,
        checkpoint: Checkpoint,
        stage: Stage,
        out: Path,
        config: TrainConfig,
        watch: Watch,
        validation_addresses: Sequence[str] = (),
        chats: ChatFile | None = None,
    ) -> None:
        self._stage, self._out, self._config = stage, out, config
        self._validated_on = sorted(map(normalise, validation_addresses))
        self._source, self._num_images = source, len(source)
        self._chats = chats
        self._inventory = take_inventory(source, config)
        if config.source_weights:
            source.weigh(config.source_weights)
        rare = oversample_rare(source, config, LIMITS)
        book = PhraseBook(source.entries()) if self._inventory.teaches_phrases(config) else None
        self._trainer = trainer = Trainer(checkpoint, stage, config)
        self._is_first = trainer.workers.is_first
        self._journal = Journal(out, watch, self._is_first)
        distractors = load_distractors(config)
        self._validation = Validation(
            trainer, source, validation, config, book, distractors, validation_addresses
        )
        left_out = trainer.left_out
        draws = ChatDraws(chats.chats, checkpoint, config, trainer.workers, left_out) if chats else None
        self._batches = Batches(
            source,
            checkpoint,
            config,
            book,
            rare,
            distractors,
            trainer.workers,
            validated=self._validation.image_ids,
            cache=trainer.cache,
            left_out=left_out,
            chats=draws,
        )
        self._resumed = False
        self._losses: list[float] = []
        self._measured_steps: set[int] = set()
        self._verdict = EarlyVerdict()
        self._outlook: Outlook | None = None

    def resume(self, addresses: Sequence[str], model: str, resume_from: Path | None) -> None:
        """Load the state in `out`, or else in `resume_from`, and write what the run is made from.

        Raises ConfigError if the state belongs to another run, CheckpointError if it or what is kept is
        damaged.
        """
        trainer, out = self._trainer, self._out
        self._model = model
        resumes = (out / STATE).is_file()
        earlier = out if resumes else resume_from
        if earlier is not None and self._config.leaves_learning_rate_open:
            self._set_learning_rate(load_settings(earlier)["learning_rate"])
        if self._is_first:
            out.mkdir(parents=True, exist_ok=True)
            write_settings(out, self._stage, self._config, resumes, self._validated_on)
        self._resumed = trainer.resume(out)
        if not self._resumed and resume_from is not None:
            trainer.go_on_from(resume_from)
        if self._is_first:
            if resumes:
                refuse_damaged(out)
            else:
                forget_kept(out)
            # A run that has made no step is measured again before its first one.
            self._journal.log.truncate(trainer.step_number or -1)
            folder = trainer.checkpoint.folder
            inputs = describe_inputs(list(addresses), model, checkpoint_sha256(folder), folder)
            if self._chats is not None:
                inputs["chats"] = self._chats.identity
            write_lineage(out, inputs, resumed=self._resumed)
        trainer.workers.wait()
        self._measured_steps = {line["step"] for line in self._journal.log.lines() if "training" in line}
        self._validation.remember(self._journal.log.validations(), load_kept(out) if resumes else None)

    def train(self, stop_requested: Callable[[], str | None]) -> dict[str, Any]:
        """Make the steps that are left, save, and return what the run did."""
        trainer, config = self._trainer, self._config
        first_step = trainer.step_number
        stopped: str | None = None
        with (
            self._journal.open(first_step, config),
            stop_signals() as signal_received,
        ):
            self._journal.tell(self._begun())

            def request() -> str | None:
                return signal_received() or stop_requested()

            def stopped_by() -> str | None:
                return self._stopped_by(request())

            if first_step == 0:
                self._judge_features(request)
                stopped = self._find_rate(stopped_by)
            stopped = stopped or self._measure_if_due(stopped_by)
            if stopped is not None and first_step == 0:
                return self._report(stopped)
            while stopped is None and trainer.step_number < config.steps:
                stopped = stopped_by()
                if stopped is not None:
                    break
                self._step()
                stopped = self._measure_if_due(stopped_by)
                if trainer.step_number % config.save_every == 0:
                    trainer.save(self._out)
            if trainer.step_number % config.save_every or trainer.step_number == first_step:
                trainer.save(self._out)
            if config.keep_apart and self._is_first:
                self._save_apart()
            if self._is_first:
                write_model_card(self._out)
                if load_kept(self._out) is not None:
                    write_model_card(self._out / BEST)
        return self._report(stopped)

    def _begun(self) -> RunBegun:
        sizes, inventory = self._validation.sizes, self._inventory
        step, steps = self._trainer.step_number, self._config.steps
        warnings = [*inventory.warnings, *self._validation.warnings]
        kept = self._validation.best
        if kept is not None and kept.step > step:
            warnings.append(
                f"{BEST}/ is of step {kept.step}, made before the run was lost: it stays until a measurement "
                "is better"
            )
        return RunBegun(step, steps, self._num_images, *sizes, inventory.sources, warnings)

    def _judge_features(self, request: Callable[[], str | None]) -> None:
        """Tell whether the features hold the names, until a stop is requested; the first worker does it."""
        if self._is_first and self._config.measured_images:
            self._outlook = linear_outlook(self._trainer, self._source, lambda: request() is not None)
            if self._outlook is not None:
                self._journal.tell(self._outlook)

    def _find_rate(self, stopped_by: Callable[[], str | None]) -> str | None:
        """Find the learning rate if it is to be found; returns what stopped it, if anything."""
        trainer = self._trainer
        if not self._config.searches_learning_rate:
            return None
        stopped: list[str] = []
        try:
            rate = find_learning_rate(trainer, self._batches, self._journal.tell, asking(stopped_by, stopped))
        except RunError:
            rate = self._config.learning_rate
            self._journal.notice(
                f"no learning rate lowers the loss, so the run takes {rate:g}: the model may know these "
                "images already"
            )
        if rate is None:
            return stopped[0]
        self._set_learning_rate(rate)
        if self._is_first:
            write_settings(self._out, self._stage, self._config, False, self._validated_on)
        return None

    def _set_learning_rate(self, rate: float) -> None:
        self._config = self._trainer.config = self._config.model_copy(update={"learning_rate": rate})

    def _step(self) -> None:
        trainer, step = self._trainer, self._trainer.step_number
        start_s, num_tokens, num_met = time.monotonic(), trainer.num_tokens, trainer.left_out.num_met
        images = self._batches.of_step(step)
        loss = trainer.step(images)
        seconds = time.monotonic() - start_s
        self._losses.append(loss)
        self._journal.tell(
            StepDone(
                trainer.step_number,
                self._config.steps,
                loss,
                **trainer.step_figures,
                samples_per_s=round(self._config.batch_images / seconds, 3),
                tokens_per_s=round((trainer.num_tokens - num_tokens) / seconds, 1),
                memory_bytes=peak_memory_bytes(trainer.model.device),
                unusable_images=trainer.workers.total_of(
                    trainer.left_out.num_met - num_met, trainer.model.device
                ),
            )
        )

    def _measure_if_due(self, stopped_by: Callable[[], str | None]) -> str | None:
        """Measure if it is time to and not done before the run was stopped; returns what stopped it."""
        step = self._trainer.step_number
        if not self._validation.is_due(step) or step in self._measured_steps:
            return None
        stopped: list[str] = []
        measured = self._validation.measure(step, asking(stopped_by, stopped))
        if measured is None:
            return stopped[0]
        self._keep(measured)
        return None

    def _keep(self, measured: Measured) -> None:
        """Tell a measurement, with a verdict when it is time for one, and keep the best checkpoint."""
        self._measured_steps.add(measured.step)
        measured = self._verdict.added_to(measured, self._config.steps, self._outlook)
        if measured.is_best and measured.validation is not None:
            keep_best(self._out, self._trainer, Kept(measured.step, measured.validation))
        self._journal.tell(measured)

    def _stopped_by(self, request: str | None) -> str | None:
        """Why all workers stop now, if they do: one of them was asked to, or no measurement gets better."""
        number = self._trainer.workers.max_of(stop_number(request), self._trainer.model.device)
        if number:
            return request or stop_name(number)
        return PATIENCE if self._validation.has_lost_patience else None

    def _save_apart(self) -> None:
        checkpoint = self._trainer.checkpoint
        base = {"name": self._model, "sha256": checkpoint_sha256(checkpoint.folder)}
        rows = new_token_ids(checkpoint.tokenizer)
        save_apart(self._out / APART, self._trainer.trained, rows, base, checkpoint.settings)

    def _report(self, stopped: str | None) -> dict[str, Any]:
        trainer, losses, best = self._trainer, self._losses, load_kept(self._out)
        return {
            "checkpoint": str(self._out),
            "stage": self._stage,
            "steps": trainer.step_number,
            "resumed": self._resumed,
            "stopped": stopped,
            "images": self._num_images,
            **trainer.all_left_out().report(),
            "first_loss": losses[0] if losses else None,
            "last_loss": losses[-1] if losses else None,
            "best": best
            and {"checkpoint": str(self._out / BEST), "step": best.step, **best.figures.document()},
            "trained_parameters": sum(parameter.numel() for parameter in trainer.trained.values()),
            "workers": trainer.workers.num,
        }
