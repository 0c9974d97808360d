"""The gold of scenes: a scene as a `CorpusImage`, and a corpus of scenes on disk with `annotations.jsonl`."""

import json
from pathlib import Path

import numpy as np

from fo1_data.model.mentions import join_mentions, mentions
from fo1_data.storage.addresses import refuse_taken
from fo1_data.synthetic.scenes import Scene, make_scene
from fo1_data.synthetic.shapes import NAMES
from fo1_data.synthetic.wording import (
    Phrase,
    brief_caption,
    detailed_caption,
    draw_absent,
    draw_phrase,
    draw_related,
    label_of,
)
from schemas.corpus import CorpusCount, CorpusImage, CorpusPhrase, CorpusRegion

# How many phrases of each kind are drawn for a scene; those drawn twice count once.
_NUM_PRESENT, _NUM_RELATED, _NUM_ABSENT, _NUM_COUNTED = 6, 2, 3, 4


def gold_of(scene: Scene, uri: str) -> CorpusImage:
    """All gold of a scene. Phrases are drawn by the scene's seed; `meta.phrase_kinds` has their kinds
    (`present`, `related`, `absent`)."""
    rng = np.random.default_rng([scene.seed, 11])
    phrases: dict[str, tuple[list[int], str]] = {}
    for _ in range(_NUM_PRESENT):
        phrase = draw_phrase(scene.objects, rng)
        phrases[str(phrase)] = (phrase.matches(scene.objects), "present")
    for _ in range(_NUM_RELATED):
        related = draw_related(scene.objects, rng)
        if related is not None:
            phrases[str(related)] = (related.indices, "related")
    for _ in range(_NUM_ABSENT):
        absent = draw_absent(scene.objects, rng)
        if absent is not None:
            phrases[str(absent)] = ([], "absent")
    return CorpusImage(
        uri=uri,
        width=scene.image.width,
        height=scene.image.height,
        regions=[_region(scene, index) for index in range(len(scene.objects))],
        caption=join_mentions([label for label, _ in mentions([label_of(thing) for thing in scene.objects])]),
        phrases=[CorpusPhrase(text=text, region_indices=indices) for text, (indices, _) in phrases.items()],
        counts=_counts(scene, rng),
        id=f"scene-{scene.seed}",
        meta={
            "seed": scene.seed,
            "phrase_kinds": {text: kind for text, (_, kind) in phrases.items()},
            "distractors_xyxy": [list(box) for box in scene.distractors_xyxy],
        },
    )


def write_scenes(
    folder: Path, count: int, seed: int, num_objects: tuple[int, int] = (5, 20), corruption: float = 0.0
) -> Path:
    """Write scenes `seed` to `seed + count - 1` as PNG files with an `annotations.jsonl`; returns its path.

    `num_objects`: the fewest and the most objects of a scene. `corruption`: 0 to 1, how much harder to see
    than in training the scenes may be. Raises ConfigError if the folder is not empty.
    """
    refuse_taken(folder)
    images = folder / "images"
    images.mkdir(parents=True)
    listing = folder / "annotations.jsonl"
    with listing.open("w", encoding="utf-8") as lines:
        for number in range(seed, seed + count):
            scene = make_scene(number, num_objects, corruption=corruption)
            name = f"images/scene-{number:08d}.png"
            scene.image.save(folder / name)
            lines.write(json.dumps(annotation_of(gold_of(scene, name))) + "\n")
    return listing


def annotation_of(gold: CorpusImage) -> dict[str, object]:
    """One line of `annotations.jsonl`."""
    document = gold.model_dump(exclude={"uri", "inner"}, exclude_none=True)
    for region in document.get("regions", []):
        region.pop("example", None)
    return {"image": gold.uri, **document}


def _region(scene: Scene, index: int) -> CorpusRegion:
    thing = scene.objects[index]
    x_min, y_min, x_max, y_max = (float(side) for side in thing.box_xyxy)
    return CorpusRegion(
        box_xyxy=(x_min, y_min, x_max, y_max),
        label=label_of(thing),
        caption=brief_caption(thing),
        detailed_caption=detailed_caption(thing, scene.image.size),
        text=thing.text,
    )


def _counts(scene: Scene, rng: np.random.Generator) -> list[CorpusCount]:
    """The counts of every shape, of a few phrases in the scene, and of an absent one."""
    phrases = [Phrase(shape) for shape in NAMES]
    phrases += [draw_phrase(scene.objects, rng) for _ in range(_NUM_COUNTED)]
    absent = draw_absent(scene.objects, rng)
    phrases += [absent] if absent is not None else []
    unique = {str(phrase): phrase for phrase in phrases}
    return [
        CorpusCount(text=text, count=len(phrase.matches(scene.objects))) for text, phrase in unique.items()
    ]
