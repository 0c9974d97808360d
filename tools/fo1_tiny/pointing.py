"""Training of a language model that learns to point: its losses and accuracies on packed questions.

Shared by the phase on oracle features and the phases on images; both provide prefixes and questions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
    pack_questions,
)
from fo1_data.training.samples.questions import TrainingQuestion
from fo1_data.training.settings import TrainConfig
from schemas.labels import LabelKind
from tools.fo1_tiny.muon import MuonAdamW, split_parameters
from tools.fo1_tiny.phase import Learner
from tools.fo1_tiny.supervision import AttentionSupervisor, Echo, plan_attention

_ACCURACY_EVERY = 5


@dataclass(frozen=True)
class SceneQuestions:
    """The questions about one image; `indices[i]` is the index token of box i."""

    indices: list[int]
    questions: list[TrainingQuestion]
    packed: PackedQuestions


def pack_scene(
    tokenizer: PromptTokenizer, indices: list[int], questions: list[TrainingQuestion]
) -> SceneQuestions:
    """Tokenise the questions about one image."""
    return SceneQuestions(indices, questions, pack_questions(tokenizer, questions))


def prefix_ids_for(tokenizer: PromptTokenizer, indices: list[int]) -> list[int]:
    """The token ids of the prefix, with these index tokens instead of 0 to N-1."""
    regions = tokenizer.special.regions
    replaced = {regions[position]: regions[index] for position, index in enumerate(indices)}
    return [replaced.get(token, token) for token in tokenizer.prefix_ids(len(indices))]


def feature_rows_of(ids: list[int], num_image_tokens: int) -> list[int]:
    """The row of each region feature in the embedded prefix."""
    rows, row = [], 0
    for token in ids:
        if token == REGION_PLACEHOLDER:
            rows.append(row)
        row += num_image_tokens if token == IMAGE_PLACEHOLDER else 1
    return rows


class PointingLearner(Learner):
    """Trains parts of a model, and training-only `readers`, on questions with auxiliary losses."""

    def __init__(
        self,
        folder: Path,
        name: str,
        config: TrainConfig,
        model: Fo1Model,
        tokenizer: PromptTokenizer,
        parts: tuple[str, ...],
        readers: nn.Module,
    ) -> None:
        self._model, self._tokenizer = model, tokenizer
        for key, parameter in model.named_parameters():
            parameter.requires_grad_(key.startswith(parts))
        named = [(key, parameter) for key, parameter in model.named_parameters() if parameter.requires_grad]
        named += [(f"readers.{key}", parameter) for key, parameter in readers.named_parameters()]
        groups = split_parameters(named, ("embed_tokens", "readers"))
        optimiser = MuonAdamW(groups, lr=config.learning_rate, weight_decay=config.weight_decay)
        super().__init__(folder, name, config, {"model": model, "readers": readers}, optimiser)
        self._echo = Echo(model)
        self._weights_V = decisive_weights(tokenizer, model.config.text.vocab_size)

    def loss(
        self,
        scenes: Sequence[SceneQuestions],
        prefixes: Sequence[PromptEmbeds],
        feature_rows: Sequence[list[int]],
        help_weight: float,
    ) -> Tensor:
        """The mean cross-entropy of the answers plus `help_weight` times the auxiliary losses."""
        packed, questions = [scene.packed for scene in scenes], [scene.questions for scene in scenes]
        batch = pack_batch(self._model, prefixes, packed)
        supervisor = AttentionSupervisor(
            plan_attention(self._tokenizer, questions, packed, feature_rows, batch.prefix_lengths)
        )
        states_BLD = decode_packed(self._model, batch, supervisor)
        summed, total_weight = answer_loss(self._model, states_BLD, batch.targets_BL, self._weights_V)
        indices = [scene.indices for scene in scenes]
        echo = self._echo.loss(batch, feature_rows, indices, self._tokenizer.special.regions)
        answers = summed / total_weight
        self.note("answers", [answers.item()])
        self.note("attention", [supervisor.total.item()])
        self.note("echo", [echo.item()])
        if self.step_number % _ACCURACY_EVERY == 0:
            for kind, hits in kind_accuracies(states_BLD, self._model, scenes, batch.prefix_lengths).items():
                self.note(kind, hits)
        return answers + help_weight * (supervisor.total + 0.6 * echo)


def decisive_weights(tokenizer: PromptTokenizer, vocab_size: int) -> Tensor:
    """(V,) loss weights: tokens that depend on the image weigh more than the words around them."""
    weights_V = torch.ones(vocab_size)
    places = (" upper", " lower", " top", " bottom", " left", " right", " center")
    for word in (*places, *LETTERS):
        [token] = tokenizer.answer_ids(word)
        weights_V[token] = 4.0
    weights_V[list(tokenizer.special.regions)] = 1.5
    weights_V[tokenizer.special.objects_close] = 1.5
    return weights_V


def kind_accuracies(
    states_BLD: Tensor, model: Fo1Model, scenes: Sequence[SceneQuestions], prefix_lengths: Sequence[int]
) -> dict[str, list[bool]]:
    """Per kind and question, whether every answer token is predicted, given the true tokens before it."""
    hits: dict[str, list[bool]] = {}
    with torch.no_grad():
        for image, (scene, start) in enumerate(zip(scenes, prefix_lengths, strict=True)):
            packed = scene.packed
            best_S = model.logits(states_BLD[image, start : start + len(packed.ids)]).argmax(-1)
            right_S = (best_S == packed.targets) | (packed.targets == IGNORED)
            for number, question in enumerate(scene.questions):
                hits.setdefault(_kind_name(question), []).append(bool(right_S[packed.owner == number].all()))
    return hits


def _kind_name(question: TrainingQuestion) -> str:
    if question.kind == LabelKind.GROUND:
        if not question.answer_boxes:
            return "absent"
        return "ground" if question.anchor is None else "related"
    return question.kind.value
