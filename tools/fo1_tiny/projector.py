"""Fitting the region projector before a phase on images, and the reader of box positions that helps it.

Shapes: R boxes, D the language model's width.
"""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from fo1_data.model.modeling import Fo1Model
from fo1_data.model.processing import PreparedImage
from tools.fo1_tiny.scene_images import SceneSample
from tools.fo1_tiny.symbols import oracle_features


class PlaceReader(nn.Module):
    """Training only: predicts from a region embedding where its box is, by thirds and by its centre."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.thirds = nn.Linear(width, 6)
        self.centre = nn.Linear(width, 2)

    def loss(self, embeds_RD: Tensor, samples: Iterable[SceneSample]) -> Tensor:
        """Cross-entropies of column and row plus the squared error of the centre (in image sides)."""
        centres_R2 = torch.cat([box_centres(sample.prepared) for sample in samples])
        thirds_R2 = (centres_R2 * 3).long().clamp(0, 2)
        columns, rows = self.thirds(embeds_RD).split(3, dim=1)
        by_thirds = functional.cross_entropy(columns, thirds_R2[:, 0]) + functional.cross_entropy(
            rows, thirds_R2[:, 1]
        )
        return by_thirds + 4 * functional.mse_loss(self.centre(embeds_RD), centres_R2)


def box_centres(image: PreparedImage) -> Tensor:
    """(R, 2) centres of the boxes as shares of the image's width and height."""
    height, width = image.aux_hw
    centres = (image.aux_boxes[:, :2] + image.aux_boxes[:, 2:]) / 2
    return centres / torch.tensor([width, height], dtype=torch.float32)


def fit_projector(
    model: Fo1Model, language: Fo1Model, batches: Iterator[list[SceneSample]], num_batches: int, steps: int
) -> float:
    """Fit the region projector of `model` on image features to that of `language` on oracle features.

    Returns the share of the variance that is left.
    """
    features, targets = [], []
    with torch.no_grad():
        for sample in _take(batches, num_batches):
            image = sample.prepared
            seen = region_features(model, image)
            canvas_wh = (image.grid_hw[1] * 14, image.grid_hw[0] * 14)
            oracle = oracle_features(sample.codes_RK, image.vt_boxes, canvas_wh, seen.shape[1])
            features.append(seen)
            targets.append(language.region_projector(oracle))
    x, y = torch.cat(features), torch.cat(targets)

    def loss() -> Tensor:
        rows = torch.randint(len(x), (512,))
        return functional.mse_loss(model.region_projector(x[rows]), y[rows])

    for _ in _fit(list(model.region_projector.parameters()), loss, steps, rate=3e-3, weight_decay=1e-3):
        pass
    with torch.no_grad():
        return (functional.mse_loss(model.region_projector(x), y) / y.var()).item()


def soften_regions(
    model: Fo1Model,
    places: PlaceReader,
    batches: Iterator[list[SceneSample]],
    scale: float,
    num_batches: int,
    steps: int,
) -> None:
    """Scale the towers' part of the region features down, so that the box embedding in them can be read.

    At unit scale the pooled features drown it: the best linear reading of a box's centre is .07 image heights
    off, at a tenth .012. The projector is fitted again to its former output and to the position of the box.
    """
    with torch.no_grad():
        samples = list(_take(batches, num_batches))
        images = [sample.prepared for sample in samples]
        targets = model.region_projector(torch.cat([region_features(model, image) for image in images]))
        for norm in (model.region_encoder.aux_region_norm, model.region_encoder.vt_region_norm):
            norm.weight.mul_(scale)
            norm.bias.mul_(scale)
        next(model.region_projector.parameters()).div_(scale)
        features = torch.cat([region_features(model, image) for image in images])
    owner = torch.tensor([number for number, sample in enumerate(samples) for _ in sample.codes_RK])
    figures: dict[str, float] = {}

    def loss() -> Tensor:
        chosen = torch.randint(len(samples), (48,)).tolist()
        rows = torch.cat([(owner == number).nonzero()[:, 0] for number in chosen])
        embeds = model.region_projector(features[rows])
        kept = functional.mse_loss(embeds, targets[rows]) / targets.var()
        place = places.loss(embeds, [samples[number] for number in chosen])
        figures.update(kept=kept.item(), place=place.item())
        return kept + 0.05 * place

    trained = [*model.region_projector.parameters(), *places.parameters()]
    for step in _fit(trained, loss, steps, rate=2e-3, weight_decay=1e-4):
        if step % 500 == 0 or step == steps - 1:
            left, place = figures["kept"], figures["place"]
            print(f"softened: {left:.4f} of the variance left, place {place:.4f}", flush=True)


def region_features(model: Fo1Model, image: PreparedImage) -> Tensor:
    """Features (R, Ca + Cv) of one image before the projection."""
    inputs: list[Tensor] = []
    hook = model.region_projector.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    model.encode_images([image])
    hook.remove()
    return inputs[0]


def _fit(
    parameters: list[nn.Parameter], loss: Callable[[], Tensor], steps: int, rate: float, weight_decay: float
) -> Iterator[int]:
    """Minimise a loss by AdamW with one cycle of the learning rate; yields each step after its update."""
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps)
    for step in range(steps):
        value = loss()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
        yield step


def _take(batches: Iterator[list[SceneSample]], num_batches: int) -> Iterator[SceneSample]:
    for _ in range(num_batches):
        yield from next(batches)
