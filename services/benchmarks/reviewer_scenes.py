"""Scenes of 12 objects for the scripted reviewer, with right captions or with one wrong.

Its labels have signals by which a real calibration ranks them; a wrong label's signal lies lower than a right
one's (AUROC 0.9). The calibration is fitted on few labels, so it accepts nothing and all labels go to review.
"""

import hashlib
from pathlib import Path

import numpy as np

from fo1_data.confidence.calibration import fit_kind
from fo1_data.confidence.judged_kind import JudgedKind
from fo1_data.confidence.routing import Router
from fo1_data.synthetic.gold import gold_of
from fo1_data.synthetic.scenes import make_scene
from schemas.calibration import Calibration, RoutingSettings
from schemas.corpus import CorpusImage
from schemas.images import EncodedImage, Grounding, ImageRow
from schemas.labels import Label, LabelKind, Signal, Source
from schemas.regions import Region, make_region_id

NUM_REGIONS = 12
WRONG = "tartan"  # a word of no scene's caption
_KINDS = (LabelKind.BRIEF_CAPTION, LabelKind.GROUND)
# Between normal signals of right and wrong labels, in deviations: an AUROC of 0.9.
_SEPARATION = 1.81


def write_scenes(folder: Path, count: int) -> list[ImageRow]:
    """Return routed rows of `count` scenes with right captions, then of `count` with one wrong caption.

    Their images are written as `folder/IMAGE_ID.png`.
    """
    router = _router()
    rows: list[ImageRow] = []
    seed = 0
    while len(rows) < 2 * count:
        scene = make_scene(seed, (NUM_REGIONS, NUM_REGIONS))
        seed += 1
        if len(scene.objects) == NUM_REGIONS:
            row = _row(gold_of(scene, "scene"), seed, has_wrong=len(rows) >= count)
            scene.image.save(folder / f"{row.image_id}.png")
            router.score_rows([row])
            router.decide_rows([row])
            rows.append(row)
    return rows


def _row(gold: CorpusImage, seed: int, has_wrong: bool) -> ImageRow:
    rng = np.random.default_rng([seed, 3])
    image_id = hashlib.sha256(f"scene {seed}".encode()).hexdigest()
    wrong = int(rng.integers(NUM_REGIONS)) if has_wrong else None
    regions = []
    for index, part in enumerate(gold.regions or []):
        words = (part.caption or "").split()
        text = " ".join([words[0], WRONG, *words[-1:]] if index == wrong else words)
        regions.append(
            Region(
                region_id=make_region_id(image_id, part.box_xyxy),
                index=index,
                box_xyxy=part.box_xyxy,
                box_source=Source.MODEL,
                brief_caption=text,
                labels=[_label(LabelKind.BRIEF_CAPTION, text, index != wrong, rng)],
            )
        )
    ids = [region.region_id for region in regions]
    groundings = [
        Grounding(
            phrase=phrase.text,
            kind=LabelKind.GROUND,
            region_ids=[ids[index] for index in phrase.region_indices or []],
            label=_label(LabelKind.GROUND, phrase.text, True, rng),
        )
        for phrase in gold.phrases or []
    ]
    uri = f"memory://{image_id}.png"
    return ImageRow(
        image_id=image_id, uri=uri, uris=[uri], corpus="scenes", split="train", image=EncodedImage(path=uri),
        width=gold.width or 0, height=gold.height or 0, regions=regions, groundings=groundings,
        caption=gold.caption,
    )  # fmt: skip


def _label(kind: LabelKind, text: str, right: bool, rng: np.random.Generator) -> Label:
    signals = [Signal(name=name, value=value) for name, value in _signals(right, rng).items()]
    return Label(kind=kind, text=text, signals=signals)


def _signals(right: bool, rng: np.random.Generator) -> dict[str, float]:
    trust = rng.normal() - (0.0 if right else _SEPARATION)
    values = {"logprob_min": -np.exp(-trust), "margin_min": np.exp(trust + rng.normal())}
    return {name: float(value) for name, value in values.items()} | {"min_token_position": 1.0}


def _router() -> Router:
    rng = np.random.default_rng(5)
    right = rng.random(400) > 0.15
    every = np.ones(len(right), dtype=bool)
    ids = [f"{number // 2:064x}" for number in range(len(right))]
    judged = JudgedKind(
        ids, [_signals(flag, rng) for flag in right.tolist()], every, right, every, every, ~every
    )
    calibration = Calibration(
        created_at="2026-01-01T00:00:00Z", model_sha256=None, proposer=None, prompts_version=None,
        dataset="made-up", gold="made-up", caption_match="exact", seed=0,
        kinds=dict.fromkeys(_KINDS, fit_kind(judged)),
    )  # fmt: skip
    return Router(RoutingSettings(max_error=0.01), calibration, _KINDS)
