"""Figures of predicted tracks against gold: HOTA, IDF1 and MOTA, and captions, by video and of all.

The figures cover the gold videos that have a predicted one; `missing` says how many have none, and what the
figures are if these count as videos in which nothing was found.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fo1_data.errors import UsageError
from fo1_data.evaluation.track_captions import score_track_captions
from fo1_data.evaluation.track_scores import Results, combine, figures_of, load_metrics, score_video
from fo1_data.evaluation.video_names import pair_videos
from fo1_data.judging.texts import CaptionMatch
from schemas.corpus import GivenTrack, GivenVideo

_SHOWN_IF_MISSING = ("hota", "idf1", "mota")


def score_tracks(
    predicted: Sequence[GivenVideo],
    gold: Sequence[GivenVideo],
    caption_match: CaptionMatch = "exact",
    names_of: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """The figures of all videos together, and under `videos` of each.

    names_of: other names of a predicted video by its own. Raises ConfigError if trackeval is not installed,
    UsageError if gold has no tracks or no video of it was predicted.
    """
    gold = [video for video in gold if video.tracks is not None]
    if not gold:
        raise UsageError("the gold has no tracks")
    metrics = load_metrics()
    others = names_of or {}
    names = [[*_names(video), *others.get(video.video, ())] for video in predicted]
    pairs = pair_videos(names, [_names(video) for video in gold])
    if not pairs:
        shown = f"{gold[0].video} and {predicted[0].video}" if predicted else "nothing was predicted"
        raise UsageError(f"no video of the gold is among those to compare (the first ones: {shown})")
    sides = {
        number: (predicted[place].tracks or [], gold[number].tracks or []) for number, place in pairs.items()
    }
    results = {number: score_video(metrics, *tracks) for number, tracks in sides.items()}
    named = Counter(video.video for video in gold)
    document: dict[str, Any] = {
        **figures_of(combine(metrics, list(results.values()))),
        "num_videos": len(pairs),
        "num_tracks": sum(len(tracks) for tracks, _ in sides.values()),
        "num_gold_tracks": sum(len(tracks) for _, tracks in sides.values()),
        "captions": score_track_captions(sides.values(), caption_match),
        "videos": {
            _key(gold[number], named): {**figures_of(result), "num_tracks": len(sides[number][0])}
            for number, result in results.items()
        },
    }
    if len(pairs) < len(gold):
        unpaired = [video.tracks or [] for number, video in enumerate(gold) if number not in pairs]
        document["missing"] = _missing(metrics, list(results.values()), unpaired)
    return document


def _names(video: GivenVideo) -> list[str]:
    return [video.video] if video.id is None else [video.video, video.id]


def _key(video: GivenVideo, named: Mapping[str, int]) -> str:
    """The name of a video; with its id if others have the name too. named: how many have each name."""
    is_shared = named[video.video] > 1 and video.id is not None
    return f"{video.video} ({video.id})" if is_shared else video.video


def _missing(
    metrics: Mapping[str, Any], results: list[Results], unpaired: Sequence[Sequence[GivenTrack]]
) -> dict[str, Any]:
    all_results = [*results, *(score_video(metrics, [], gold) for gold in unpaired)]
    figures = figures_of(combine(metrics, all_results))
    return {
        "videos": len(unpaired),
        "counted_as_misses": {name: figures[name] for name in _SHOWN_IF_MISSING},
    }
