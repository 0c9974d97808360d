"""Figures of tracks: of generated moving scenes that are labelled, and of their cost in calls of the model.

    python -m fo1_data.benchmarks.track_figures [--scenes N] [--frames N] [--seed N] [--proposals NAME]
        [--tracker NAME] [--track-every N] [--every-frame N] [--work DIR]

Writes scenes with gold tracks, labels them with one caption a track, and compares: HOTA, IDF1 and MOTA by
trackeval, and the share of gold tracks whose caption is right. A call is a question that is answered, or an
image whose prefix is opened. `--every-frame`: of how many of the scenes every frame is captioned too, which
the calls are compared with. Prints JSON; times are of this process.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fo1_data.corpus.forms.track_files import read_track_file
from fo1_data.dataset.given_videos import iterate_videos
from fo1_data.dataset.reader import open_dataset
from fo1_data.evaluation.tracks import score_tracks
from fo1_data.runs.in_process import run_in_process
from fo1_data.synthetic.moving_gold import write_moving_scenes
from schemas.jobs import RunConfig

FPS = 12.5


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=20)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--seed", type=int, default=900_000, help="seed of the first scene")
    parser.add_argument("--proposals", default="fo1-tiny")
    parser.add_argument("--tracker", default="bytetrack")
    parser.add_argument("--track-every", type=int, default=1)
    parser.add_argument("--every-frame", type=int, default=2)
    parser.add_argument("--work", type=Path, help="folder for scenes and datasets (default: a temporary one)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.work or Path(temporary)
        settings = {"proposals": given.proposals, "tracker": given.tracker, "track_every": given.track_every}
        document = measure(folder, given.seed, given.scenes, given.frames, given.every_frame, settings)
    print(json.dumps(document, indent=2))


def measure(
    folder: Path, seed: int, num_scenes: int, num_frames: int, num_every: int, settings: dict[str, Any]
) -> dict[str, Any]:
    """The figures of so many scenes; `folder` is empty. num_every: see `--every-frame`."""
    listing = write_moving_scenes(folder / "scenes", num_scenes, seed, num_frames, FPS)
    videos = sorted((folder / "scenes" / "videos").iterdir())
    tracked = _label(videos, folder / "tracked", settings)
    dataset = open_dataset(str(folder / "tracked"))
    gold = read_track_file(str(listing), is_gold=True)
    assert gold is not None
    figures = score_tracks([video for _, video in iterate_videos(dataset)], gold.videos)
    figures.pop("videos")
    document: dict[str, Any] = {"scenes": num_scenes, "frames": num_frames, "seed": seed, **settings}
    document |= {"figures": figures, "tracked": tracked}
    if num_every:
        single = {"proposals": settings["proposals"], "frame_every_s": 1 / FPS}
        every = _label(videos[:num_every], folder / "every", single)
        same = _calls(folder / "tracked", videos[:num_every])
        document["every_frame"] = every | {"scenes": num_every}
        document["share_of_calls"] = {name: round(same[name] / every[name], 4) for name in same}
    return document


def _label(videos: Sequence[Path], out: Path, settings: dict[str, Any]) -> dict[str, float]:
    """Label videos with brief captions, one question a box; the calls and the time that it takes."""
    corpus = out.with_suffix(".txt")
    corpus.write_text("".join(f"{video}\n" for video in videos))
    given = {"corpus": str(corpus), "out": str(out), "labels": "brief_caption", "second_questions": "none"}
    started_s, cpu_s = time.perf_counter(), time.process_time()
    run_in_process(RunConfig.model_validate(given | settings))
    return {
        **_calls(out, videos),
        "seconds": round(time.perf_counter() - started_s, 1),
        "cpu_s": round(time.process_time() - cpu_s, 1),
    }


def _calls(dataset: Path, videos: Sequence[Path]) -> dict[str, float]:
    """The calls of the model for these videos: a row had its prefix opened, a caption was one question."""
    names = tuple(map(str, videos))
    rows = [row for row in open_dataset(str(dataset)).rows() if row.uri.startswith(names)]
    return {"prefixes": len(rows), "questions": sum(len(row.answered_labels()) for row in rows)}


if __name__ == "__main__":
    main()
