"""Small corpora with tracks: folders of frames of 64 x 48 px with the files of each form."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

WIDTH, HEIGHT = 64, 48


def write_frames(folder: Path, num: int = 4, suffix: str = "jpg", digits: int = 6) -> list[str]:
    """Numbered images from 1; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:0{digits}d}.{suffix}" for number in range(1, num + 1)]
    for number, name in enumerate(names):
        Image.new("RGB", (WIDTH, HEIGHT), (40 * number % 256, 80, 20)).save(folder / name)
    return names


def write_sequence(
    folder: Path,
    lines: list[str] | None,
    num_frames: int = 4,
    *,
    info: str | None = None,
    frames: bool = True,
) -> Path:
    """A sequence of MOT challenge; `lines` of its gold, None for none."""
    folder.mkdir(parents=True, exist_ok=True)
    text = info or (
        f"[Sequence]\nname={folder.name}\nimDir=img1\nframeRate=12.5\nseqLength={num_frames}\n"
        f"imWidth={WIDTH}\nimHeight={HEIGHT}\nimExt=.jpg\n"
    )
    (folder / "seqinfo.ini").write_text(text)
    if lines is not None:
        (folder / "gt").mkdir()
        (folder / "gt" / "gt.txt").write_text("\n".join(lines) + "\n")
    if frames:
        write_frames(folder / "img1", num_frames)
    return folder


GOLD_LINES = ["1,1,11,6,20,30,1,1,0.9", "2,1,13,6,20,30,1,1,1", "4,1,17,6,20,30,1,1,1", "2,7,2,2,8,8,1,3,1"]


def write_json(path: Path, document: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def youtube_vis(num_frames: int = 3, **video: Any) -> dict[str, Any]:
    names = [f"clip/{number:05d}.jpg" for number in range(num_frames)]
    return {
        "videos": [
            {"id": 1, "width": WIDTH, "height": HEIGHT, "length": num_frames, "file_names": names, **video}
        ],
        "categories": [{"id": 3, "name": "dog"}],
        "annotations": [
            {
                "id": 5,
                "video_id": 1,
                "category_id": 3,
                "bboxes": [[1, 2, 10, 20], None, [3, 2, 10, 20]],
                "segmentations": [None, None, [[3, 2, 13, 2, 13, 22, 3, 22]]],
                "areas": [200, None, 200],
                "iscrowd": 0,
                "caption": "brown dog",
            }
        ],
    }
