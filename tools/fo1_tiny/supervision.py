"""Auxiliary losses that help a small language model learn to point; training only.

They tell attention heads which positions to attend to:
- Caption answers: a head of the third layer attends to the region of the question.
- Region tokens of an answer: another head of the third layer attends to all regions that are still to be
  named (in a presence question, to all regions of the phrase), a head of the fourth layer to the next one.
- A phrase with a relation takes one layer more: at the end of the phrase, a head of the second layer attends
  to the anchor; at region tokens, a head of the third layer attends back to the end of the phrase, one of the
  fourth to all regions still to be named, and one of the fifth to the next one.
- Echo: after the second layer, the position of each region feature predicts its own index token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from fo1_data.model.modeling import Fo1Model
from fo1_data.model.prompts import PromptTokenizer
from fo1_data.training.packing import IGNORED, AttentionObserver, PackedBatch, PackedQuestions
from fo1_data.training.samples.questions import TrainingQuestion
from schemas.labels import LabelKind

CAPTION_LAYER, CAPTION_HEAD = 2, 0
HITS_LAYER, HITS_HEAD = 2, 1
NEXT_LAYER, NEXT_HEAD = 3, 0
ANCHOR_LAYER, ANCHOR_HEAD = 1, 2
RELAY_LAYER, RELAY_HEAD = 2, 2
RELATED_HITS_LAYER, RELATED_HITS_HEAD = 3, 1
RELATED_NEXT_LAYER, RELATED_NEXT_HEAD = 4, 0
ECHO_AFTER_LAYER = 1


@dataclass(frozen=True)
class AttentionTargets:
    """Rows of the packed batch, and the positions to which each should attend with equal weight."""

    image: list[int]
    row: list[int]
    positions: list[list[int]]


class AttentionSupervisor(AttentionObserver):
    """Collects the attention losses of one forward pass; `total` is their mean afterwards."""

    def __init__(self, targets: dict[tuple[int, int], AttentionTargets]) -> None:
        self._targets = targets
        self.losses: list[Tensor] = []

    def attention(self, layer: int, queries_BHLE: Tensor, keys_BHLE: Tensor, visible_BLL: Tensor) -> None:
        for (target_layer, head), targets in self._targets.items():
            if target_layer == layer and targets.row:
                loss = _attention_loss(queries_BHLE[:, head], keys_BHLE[:, head], visible_BLL, targets)
                self.losses.append(loss)

    @property
    def total(self) -> Tensor:
        """The mean loss over the supervised heads."""
        return torch.stack(self.losses).mean() if self.losses else torch.zeros(())


def _attention_loss(
    queries_BLE: Tensor, keys_BLE: Tensor, visible_BLL: Tensor, targets: AttentionTargets
) -> Tensor:
    """Cross-entropy of a head's attention against equal weights on the target positions."""
    image, row = torch.tensor(targets.image), torch.tensor(targets.row)
    scale = queries_BLE.shape[-1] ** -0.5
    scores_NL = torch.einsum("ne,nle->nl", queries_BLE[image, row], keys_BLE[image]) * scale
    log_shares_NL = scores_NL.masked_fill(~visible_BLL[image, row], float("-inf")).log_softmax(-1)
    number = torch.tensor([number for number, positions in enumerate(targets.positions) for _ in positions])
    position = torch.tensor([position for positions in targets.positions for position in positions])
    weight = torch.tensor([1 / len(positions) for positions in targets.positions for _ in positions])
    return -(log_shares_NL[number, position] * weight).sum() / len(targets.row)


def plan_attention(
    tokenizer: PromptTokenizer,
    questions: Sequence[Sequence[TrainingQuestion]],
    packed: Sequence[PackedQuestions],
    feature_rows: Sequence[Sequence[int]],
    prefix_lengths: Sequence[int],
) -> dict[tuple[int, int], AttentionTargets]:
    """The attention targets by (layer, head).

    `feature_rows[b][i]`: the row of the feature of box i in the prefix of image b.
    """
    special, regions = tokenizer.special, set(tokenizer.special.regions)
    heads = (
        *((CAPTION_LAYER, CAPTION_HEAD), (HITS_LAYER, HITS_HEAD), (NEXT_LAYER, NEXT_HEAD)),
        *((ANCHOR_LAYER, ANCHOR_HEAD), (RELAY_LAYER, RELAY_HEAD)),
        *((RELATED_HITS_LAYER, RELATED_HITS_HEAD), (RELATED_NEXT_LAYER, RELATED_NEXT_HEAD)),
    )
    attention = {head: AttentionTargets([], [], []) for head in heads}
    caption, hits, following, anchor, relay, related_hits, related_next = attention.values()
    for image, rows in enumerate(feature_rows):
        targets, owner = packed[image].targets.tolist(), packed[image].owner.tolist()
        unnamed = {number: list(question.answer_boxes) for number, question in enumerate(questions[image])}
        # Of each phrase with a relation, the row at which the phrase ends.
        phrase_ends: dict[int, int] = {}
        for step, (target, number) in enumerate(zip(targets, owner, strict=True)):
            question = questions[image][number]
            row = prefix_lengths[image] + step
            if target == IGNORED:
                continue
            if question.anchor is not None and target == special.objects_open:
                phrase_ends[number] = row
                _add(anchor, image, row, [rows[question.anchor]])
            if number in phrase_ends and (target in regions or target == special.objects_close):
                _add(relay, image, row, [phrase_ends[number]])
            if question.kind == LabelKind.ASK:
                if target != special.end_of_turn and question.answer_boxes:
                    _add(hits, image, row, [rows[position] for position in question.answer_boxes])
            elif question.subject is not None:
                _add(caption, image, row, [rows[question.subject]])
            elif target in regions and unnamed[number]:
                in_list = _unnamed_in_list(targets, step, unnamed[number], regions)
                positions = [rows[position] for position in in_list]
                is_related = number in phrase_ends
                _add(related_hits if is_related else hits, image, row, positions)
                _add(related_next if is_related else following, image, row, positions[:1])
                unnamed[number].pop(0)
    return attention


def _unnamed_in_list(targets: list[int], step: int, unnamed: list[int], regions: set[int]) -> list[int]:
    """The positions still to be named in the list of regions that `step` is in."""
    length = 0
    while step + length < len(targets) and targets[step + length] in regions:
        length += 1
    return unnamed[:length]


def _add(targets: AttentionTargets, image: int, row: int, positions: list[int]) -> None:
    targets.image.append(image)
    targets.row.append(row)
    targets.positions.append(positions)


class Echo:
    """Keeps the states after layer ECHO_AFTER_LAYER, to predict the index token of each region from them."""

    def __init__(self, model: Fo1Model) -> None:
        self._model = model
        self._states: Tensor | None = None
        layer: nn.Module = model.language_model.layers[ECHO_AFTER_LAYER + 1]
        norm = layer.get_submodule("input_layernorm")
        norm.register_forward_pre_hook(self._keep)

    def _keep(self, _: object, arguments: tuple[Tensor, ...]) -> None:
        self._states = arguments[0]

    def loss(
        self,
        batch: PackedBatch,
        feature_rows: Sequence[Sequence[int]],
        indices: Sequence[Sequence[int]],
        regions: Sequence[int],
    ) -> Tensor:
        """Cross-entropy of the index token, over all hundred, at the position of every region feature."""
        if self._states is None:
            raise RuntimeError("the decoder has not run yet")
        image = torch.tensor([number for number, rows in enumerate(feature_rows) for _ in rows])
        row = torch.tensor([row for rows in feature_rows for row in rows])
        targets = torch.tensor([index for image_indices in indices for index in image_indices])
        normed = self._model.language_model.norm(self._states[image, row])
        head = self._model.language_model.embed_tokens.weight[torch.tensor(regions)]
        return functional.cross_entropy(normed @ head.T, targets)
