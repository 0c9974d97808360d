"""Training-only help for a small language model that must learn to point.

- A head of the third layer looks, while a caption is spoken, at the region asked for.
- Another looks, where a region token must be named, at all regions still to be named, and where a phrase is
  said to be there, at what it names; one of the fourth layer at the next to be named.
- A phrase with a relation takes a layer more: where it is said, a head of the second layer looks at what it
  relates to; where a region token must be named, one of the third looks back at that, one of the fourth at
  all regions still to be named, one of the fifth at the next.
- Echo: after the second layer each region feature's position knows its own index token.
Nothing of this exists at inference.
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
class Looks:
    """Rows of the packed batch and the positions that each should look at with equal weight."""

    image: list[int]
    row: list[int]
    at: list[list[int]]


class Supervisor(AttentionObserver):
    """Collects the attention losses of one forward pass; `total` after it."""

    def __init__(self, looks: dict[tuple[int, int], Looks]) -> None:
        self._looks = looks
        self.losses: list[Tensor] = []

    def attention(self, layer: int, queries: Tensor, keys: Tensor, visible: Tensor) -> None:
        for (wanted_layer, head), looks in self._looks.items():
            if wanted_layer == layer and looks.row:
                self.losses.append(_look_loss(queries[:, head], keys[:, head], visible, looks))

    @property
    def total(self) -> Tensor:
        """The mean loss over the supervised heads."""
        return torch.stack(self.losses).mean() if self.losses else torch.zeros(())


def _look_loss(queries_BLE: Tensor, keys_BLE: Tensor, visible: Tensor, looks: Looks) -> Tensor:
    """Cross-entropy of the heads' attention against equal weights on the wanted positions."""
    image, row = torch.tensor(looks.image), torch.tensor(looks.row)
    scores = (
        torch.einsum("ne,nle->nl", queries_BLE[image, row], keys_BLE[image]) * queries_BLE.shape[-1] ** -0.5
    )
    log_shares = scores.masked_fill(~visible[image, row], float("-inf")).log_softmax(-1)
    which = torch.tensor([number for number, at in enumerate(looks.at) for _ in at])
    at = torch.tensor([position for positions in looks.at for position in positions])
    weight = torch.tensor([1 / len(positions) for positions in looks.at for _ in positions])
    return -(log_shares[which, at] * weight).sum() / len(looks.row)


def plan_looks(
    tokenizer: PromptTokenizer,
    questions: Sequence[Sequence[TrainingQuestion]],
    packed: Sequence[PackedQuestions],
    feature_rows: Sequence[Sequence[int]],
    prefix_lengths: Sequence[int],
) -> dict[tuple[int, int], Looks]:
    """Which row should look where. `feature_rows[b][i]`: the row of box i's feature in image b's prefix."""
    special, regions = tokenizer.special, set(tokenizer.special.regions)
    places = (
        *((CAPTION_LAYER, CAPTION_HEAD), (HITS_LAYER, HITS_HEAD), (NEXT_LAYER, NEXT_HEAD)),
        *((ANCHOR_LAYER, ANCHOR_HEAD), (RELAY_LAYER, RELAY_HEAD)),
        *((RELATED_HITS_LAYER, RELATED_HITS_HEAD), (RELATED_NEXT_LAYER, RELATED_NEXT_HEAD)),
    )
    looks = {place: Looks([], [], []) for place in places}
    caption, hits, following, anchor, relay, related_hits, related_next = looks.values()
    for image, (asked, one, rows) in enumerate(zip(questions, packed, feature_rows, strict=True)):
        targets, owner = one.targets.tolist(), one.owner.tolist()
        left = {number: list(question.answer_boxes) for number, question in enumerate(asked)}
        said: dict[int, int] = {}
        for step, (target, number) in enumerate(zip(targets, owner, strict=True)):
            question = asked[number]
            row = prefix_lengths[image] + step
            if target == IGNORED:
                continue
            if question.anchor is not None and target == special.objects_open:
                said[number] = row
                _add(anchor, image, row, [rows[question.anchor]])
            if number in said and (target in regions or target == special.objects_close):
                _add(relay, image, row, [said[number]])
            if question.kind == LabelKind.ASK:
                if target != special.end_of_turn and question.answer_boxes:
                    _add(hits, image, row, [rows[position] for position in question.answer_boxes])
            elif question.subject is not None:
                _add(caption, image, row, [rows[question.subject]])
            elif target in regions and left[number]:
                group = _same_list(targets, step, left[number], regions)
                at = [rows[position] for position in group]
                _add(related_hits if number in said else hits, image, row, at)
                _add(related_next if number in said else following, image, row, at[:1])
                left[number].pop(0)
    return looks


def _same_list(targets: list[int], step: int, left: list[int], regions: set[int]) -> list[int]:
    """The positions still to be named in the list that `step` is in."""
    length = 0
    while step + length < len(targets) and targets[step + length] in regions:
        length += 1
    return left[:length]


def _add(looks: Looks, image: int, row: int, at: list[int]) -> None:
    looks.image.append(image)
    looks.row.append(row)
    looks.at.append(at)


class Echo:
    """Holds the states that enter the layer after ECHO_AFTER_LAYER, to ask them for their index token."""

    def __init__(self, model: Fo1Model) -> None:
        self._model = model
        self._states: Tensor | None = None
        layer: nn.Module = model.language_model.layers[ECHO_AFTER_LAYER + 1]
        norm = layer.get_submodule("input_layernorm")
        self._hook = norm.register_forward_pre_hook(self._keep)

    def _keep(self, _: object, arguments: tuple[Tensor, ...]) -> None:
        self._states = arguments[0]

    def loss(
        self,
        batch: PackedBatch,
        feature_rows: Sequence[Sequence[int]],
        indices: Sequence[Sequence[int]],
        regions: Sequence[int],
    ) -> Tensor:
        """Cross-entropy over the hundred index tokens at every region feature."""
        if self._states is None:
            raise RuntimeError("the decoder has not run yet")
        image = torch.tensor([number for number, rows in enumerate(feature_rows) for _ in rows])
        row = torch.tensor([row for rows in feature_rows for row in rows])
        wanted = torch.tensor([index for one in indices for index in one])
        normed = self._model.language_model.norm(self._states[image, row])
        head = self._model.language_model.embed_tokens.weight[torch.tensor(regions)]
        return functional.cross_entropy(normed @ head.T, wanted)

    def close(self) -> None:
        """Take the hook away."""
        self._hook.remove()
