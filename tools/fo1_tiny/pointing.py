"""One optimisation step of a language model that learns to point, and what it got right.

Shared by the phase on oracle features and the phases on images: both hand over prefixes and questions.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fo1_data.model.choice_question import LETTERS
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.prompts import IMAGE_PLACEHOLDER, REGION_PLACEHOLDER, PromptTokenizer
from fo1_data.model.region_fusion import PromptEmbeds
from fo1_data.training.packing import (
    IGNORED,
    PackedQuestions,
    answer_loss,
    decode_packed,
    pack_batch,
)
from fo1_data.training.samples.questions import TrainingQuestion
from schemas.labels import LabelKind
from tools.fo1_tiny.muon import MuonAdamW, split_parameters
from tools.fo1_tiny.supervision import Echo, Supervisor, plan_looks


@dataclass(frozen=True)
class Asked:
    """The questions about one image; `indices[i]` is the index token of box i."""

    indices: list[int]
    questions: list[TrainingQuestion]
    packed: PackedQuestions


def prefix_ids_for(tokenizer: PromptTokenizer, indices: list[int]) -> list[int]:
    """The prefix with any index tokens."""
    regions = tokenizer.special.regions
    own = {regions[position]: regions[index] for position, index in enumerate(indices)}
    return [own.get(token, token) for token in tokenizer.prefix_ids(len(indices))]


def feature_rows_of(ids: list[int], num_image_tokens: int) -> list[int]:
    """The row of each region feature in the sequence."""
    rows, row = [], 0
    for token in ids:
        if token == REGION_PLACEHOLDER:
            rows.append(row)
        row += num_image_tokens if token == IMAGE_PLACEHOLDER else 1
    return rows


class PointingLearner:
    """Model parts that train, their optimiser, and the training-only help."""

    def __init__(
        self,
        model: Fo1Model,
        tokenizer: PromptTokenizer,
        parts: tuple[str, ...],
        readers: nn.Module | None = None,
    ) -> None:
        self.model, self.tokenizer, self.readers = model, tokenizer, readers
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(parts))
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        named += [(f"readers.{name}", p) for name, p in readers.named_parameters()] if readers else []
        self.optimiser = MuonAdamW(
            split_parameters(named, ("embed_tokens", "readers")), lr=1e-3, weight_decay=0.01
        )
        self.parameters = [parameter for _, parameter in named]
        self.echo = Echo(model)
        self.token_weights = decisive_weights(tokenizer, model.config.text.vocab_size)
        self.step_number = 0
        self.scores: dict[str, list[bool]] = {}
        self.sums: dict[str, float] = {}

    def loss(
        self,
        asked: Sequence[Asked],
        prefixes: Sequence[PromptEmbeds],
        rows: Sequence[list[int]],
        help_weight: float,
    ) -> Tensor:
        """The answers' mean cross-entropy plus the weighted help."""
        packed = [one.packed for one in asked]
        batch = pack_batch(self.model, prefixes, packed)
        looks = plan_looks(
            self.tokenizer, [one.questions for one in asked], packed, rows, batch.prefix_lengths
        )
        supervisor = Supervisor(looks)
        states = decode_packed(self.model, batch, supervisor)
        summed, count = answer_loss(self.model, states, batch.targets_BL, self.token_weights)
        echoed = self.echo.loss(batch, rows, [one.indices for one in asked], self.tokenizer.special.regions)
        self._note(loss=(summed / count).item(), look=supervisor.total.item(), echo=echoed.item())
        if self.step_number % 5 == 0:
            for name, values in kind_accuracies(states, self.model, asked, batch.prefix_lengths).items():
                self.scores.setdefault(name, []).extend(values)
        return summed / count + help_weight * (supervisor.total + 0.6 * echoed)

    def update(self, loss: Tensor, rate: float) -> None:
        """One step at a learning rate."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.step_number += 1

    def _note(self, **values: float) -> None:
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value / 50

    def report(self, log: Path, began: float, **extra: float) -> None:
        """Append a line to `log` every 50 steps."""
        if self.step_number % 50:
            return
        line: dict[str, float] = {"step": self.step_number, "s": round(time.monotonic() - began, 1), **extra}
        line |= {name: round(value, 4) for name, value in self.sums.items()}
        line |= {name: round(float(np.mean(values)), 3) for name, values in sorted(self.scores.items())}
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.scores, self.sums = {}, {}

    def state(self) -> dict[str, object]:
        """Everything that a resumed run needs."""
        readers = self.readers.state_dict() if self.readers else {}
        return {
            "model": self.model.state_dict(),
            "readers": readers,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step_number,
        }

    def resume(self, checkpoint: Path) -> bool:
        """Take up the state of `checkpoint` where it exists."""
        if not checkpoint.exists():
            return False
        saved = torch.load(checkpoint, weights_only=True)
        self.model.load_state_dict(saved["model"])
        if self.readers is not None:
            self.readers.load_state_dict(saved["readers"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.step_number = saved["step"]
        return True


def decisive_weights(tokenizer: PromptTokenizer, vocab_size: int) -> Tensor:
    """(V,) loss weights: what needs a look at the image counts more than the words around it."""
    weights = torch.ones(vocab_size)
    places = (" upper", " lower", " top", " bottom", " left", " right", " center")
    for word in (*places, *LETTERS):
        [token] = tokenizer.tokenizer(word, add_special_tokens=False)["input_ids"]
        weights[token] = 4.0
    weights[list(tokenizer.special.regions)] = 1.5
    weights[tokenizer.special.objects_close] = 1.5
    return weights


def save_state(state: dict[str, object], checkpoint: Path) -> None:
    """Write under another name first, so that a killed run leaves a whole file."""
    partial = checkpoint.with_suffix(".new")
    torch.save(state, partial)
    partial.replace(checkpoint)


def every(step: int, period: int, last: int, action: Callable[[], None]) -> None:
    """Do something every `period` steps and at the last one."""
    if step % period == 0 or step == last:
        action()


def kind_accuracies(
    states: Tensor, model: Fo1Model, asked: Sequence[Asked], prefix_lengths: Sequence[int]
) -> dict[str, list[bool]]:
    """Per kind, whether every answer token would be right given those before it."""
    found: dict[str, list[bool]] = {}
    with torch.no_grad():
        for image, (one, start) in enumerate(zip(asked, prefix_lengths, strict=True)):
            packed = one.packed
            best = model.logits(states[image, start : start + len(packed.ids)]).argmax(-1)
            right = (best == packed.targets) | (packed.targets == IGNORED)
            for number, question in enumerate(one.questions):
                found.setdefault(_kind_name(question), []).append(bool(right[packed.owner == number].all()))
    return found


def _kind_name(question: TrainingQuestion) -> str:
    if question.kind == LabelKind.GROUND:
        if not question.answer_boxes:
            return "absent"
        return "ground" if question.anchor is None else "related"
    return question.kind.value
