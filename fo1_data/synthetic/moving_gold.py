"""A corpus of moving scenes on disk: MP4 files in `videos/`, and their gold in `tracks.jsonl`."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

from fo1_data.corpus.video.encoding import h264_file
from fo1_data.corpus.video.streams import require_decoder
from fo1_data.storage.addresses import refuse_taken
from fo1_data.synthetic.moving_scenes import MovingScene, make_moving_scene
from fo1_data.synthetic.wording import brief_caption, label_of
from schemas.corpus import GivenTrack, GivenVideo

# Fine enough that boxes stay as exact as in images that were not encoded.
_CRF = 10


def tracks_of(scene: MovingScene, video: str) -> GivenVideo:
    """The gold of a moving scene. Ids count from 1 over the whole video; `meta.cuts`: frames after a cut."""
    tracks = [
        GivenTrack(
            id=str(number),
            label=label_of(track.thing),
            caption=brief_caption(track.thing),
            frames=track.frames,
            boxes_xyxy=[(float(a), float(b), float(c), float(d)) for a, b, c, d in track.boxes_xyxy],
        )
        for number, track in enumerate(scene.tracks, start=1)
    ]
    return GivenVideo(
        video=video,
        width=scene.width,
        height=scene.height,
        fps=scene.fps,
        num_frames=scene.num_frames,
        tracks=tracks,
        meta={"seed": scene.seed, "cuts": scene.cuts},
    )


def write_moving_scenes(
    folder: Path,
    count: int,
    seed: int,
    num_frames: int = 60,
    fps: float = 12.5,
    num_objects: tuple[int, int] = (3, 7),
    num_cuts: int = 0,
    told: Callable[[int], None] = lambda _: None,
) -> Path:
    """Write moving scenes `seed` to `seed + count - 1` and their gold; returns the path of `tracks.jsonl`.

    told: called with the number of videos that are written. Raises ConfigError if the folder is not empty or
    PyAV is not installed.
    """
    refuse_taken(folder)
    require_decoder(str(folder / "videos"))
    (folder / "videos").mkdir(parents=True)
    listing = folder / "tracks.jsonl"
    rate = Fraction(fps).limit_denominator(1001)
    with listing.open("w", encoding="utf-8") as lines:
        for number in range(seed, seed + count):
            scene = make_moving_scene(number, num_frames, fps, num_objects, num_cuts)
            name = f"videos/moving-{number:08d}.mp4"
            with h264_file(folder / name, (scene.width, scene.height), rate, _CRF, round(fps)) as file:
                for image in scene.images():
                    file.add(image)
            lines.write(tracks_of(scene, name).model_dump_json(exclude_none=True) + "\n")
            told(number - seed + 1)
    return listing
