"""The phases `sight` and `places`: the language model learns on images instead of oracle features.

With `language`, its language model is taken over and the region projector is fitted so that image features
land where the oracle's did. With `soften` below 1, the region features are scaled down. Both happen once, at
step 0. Then the answers train `parts` of the model; readers of attributes and box positions on the region
embeddings help. Prompts are those of inference, with image tokens.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from fo1_data.model.checkpoint import load_checkpoint
from fo1_data.model.checkpoint_files import save_checkpoint
from fo1_data.model.modeling import Fo1Model
from fo1_data.model.prompts import PromptTokenizer
from fo1_data.model.region_fusion import PromptEmbeds, embed_prompt
from tools.fo1_tiny.attributes import AttributeReaders, attribute_loss, codes_to_classes
from tools.fo1_tiny.pointing import PointingLearner, feature_rows_of, prefix_ids_for
from tools.fo1_tiny.projector import PlaceReader, fit_projector, soften_regions
from tools.fo1_tiny.scene_images import SceneBatches, SceneConfig, SceneSample

# The batches of the fits before step 0 have numbers that no step reaches.
_FIT_FIRST_BATCH, _SOFTEN_FIRST_BATCH = 10_000_000, 20_000_000


class Config(SceneConfig):
    """Settings of a phase on images.

    `start`, `language`: checkpoint folders; `parts`: prefixes of the trained weights; `help_weight`: of the
    auxiliary losses; `soften`: scale of the region features.
    """

    start: str
    language: str | None = None
    parts: tuple[str, ...] = ("language_model", "region_projector")
    help_weight: float = 0.5
    soften: float = 1.0
    fit_batches: int = 100
    fit_steps: int = 4000


class AttributeHelp:
    """Training only: region embeddings must tell the attributes of their box. Has an optimiser of its own."""

    def __init__(self, width: int) -> None:
        self.readers = AttributeReaders(width)
        self.optimiser = torch.optim.AdamW(self.readers.parameters(), lr=3e-3)

    def loss(self, embeds_RD: Tensor, samples: Sequence[SceneSample]) -> Tensor:
        """Sum of the cross-entropies of the four attributes over all boxes."""
        classes = codes_to_classes(torch.cat([sample.codes_RK for sample in samples]))
        return attribute_loss(self.readers(functional.layer_norm(embeds_RD, embeds_RD.shape[-1:])), classes)

    def update(self) -> None:
        """Make one step on the gradients of the joint loss, then clear them."""
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)


def image_prefixes(
    model: Fo1Model, tokenizer: PromptTokenizer, samples: Sequence[SceneSample]
) -> tuple[list[PromptEmbeds], list[list[int]], Tensor]:
    """The prefixes of a batch, the rows of the region features in each, and all region embeddings (R, D)."""
    encoded = model.encode_images([sample.prepared for sample in samples])
    prefixes, rows = [], []
    for sample, features in zip(samples, encoded, strict=True):
        ids = prefix_ids_for(tokenizer, sample.questions.indices)
        prefixes.append(embed_prompt(model, ids, features, sample.prepared.grid_hw))
        rows.append(feature_rows_of(ids, len(features.image_embeds)))
    return prefixes, rows, torch.cat([features.region_embeds for features in encoded])


def train(folder: Path, name: str, config: Config) -> None:
    """Train or resume; at every save and at the end, the folder `name` has the checkpoint."""
    checkpoint = load_checkpoint(str(folder / config.start))
    model, tokenizer = checkpoint.model.train(), checkpoint.tokenizer
    places = PlaceReader(model.config.text.hidden_size)
    attributes = AttributeHelp(model.config.text.hidden_size)
    learner = PointingLearner(folder, name, config, model, tokenizer, config.parts, places)
    if not learner.resume():
        _adapt(model, places, folder, config)
    batches = SceneBatches(folder / "base", config, learner.step_number).in_worker(prefetch=6)
    while not learner.is_done:
        samples = next(batches)
        prefixes, rows, embeds_RD = image_prefixes(model, tokenizer, samples)
        loss = learner.loss([sample.questions for sample in samples], prefixes, rows, config.help_weight)
        loss = loss + 0.4 * places.loss(embeds_RD, samples) + 0.2 * attributes.loss(embeds_RD, samples)
        learner.update(loss)
        attributes.update()
        if learner.is_save_due:
            learner.save()
            save_checkpoint(model, folder / "base", folder / name)


def _adapt(model: Fo1Model, places: PlaceReader, folder: Path, config: Config) -> None:
    """Take over the language model and soften the region features, as the settings say."""
    num_batches, steps = config.fit_batches, config.fit_steps
    if config.language:
        language = load_checkpoint(str(folder / config.language)).model
        model.language_model.load_state_dict(language.language_model.state_dict())
        batches = SceneBatches(folder / "base", config, _FIT_FIRST_BATCH).in_worker(prefetch=6)
        left = fit_projector(model, language, batches, num_batches, steps)
        print(f"projector fitted: {left:.4f} of the variance left", flush=True)
    if config.soften < 1:
        batches = SceneBatches(folder / "base", config, _SOFTEN_FIRST_BATCH).in_worker(prefetch=6)
        soften_regions(model, places, batches, config.soften, num_batches, steps)
