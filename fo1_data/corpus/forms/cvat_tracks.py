"""Tracks in CVAT's XML (CVAT for video 1.1): `track` elements with a shape for each frame, of the video in
`meta`.

Frames are numbered from 0 in the video. A shape that is `outside` says that the thing is not there and counts
for nothing; frames between two shapes are not filled in (CVAT writes a shape for every frame). The caption is
the first attribute named `caption` or `description`; others of the same track are refused
(`several_captions`). Of a project the track names its task. The track's id is its `id`, or its place in the
file.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from fo1_data.corpus.forms.cvat_shapes import SHAPES, box_of_shape
from fo1_data.corpus.forms.record_fields import text_of, whole_number
from fo1_data.corpus.forms.shapes import texts_of_attributes
from fo1_data.corpus.forms.video_tracks import ONE_BOX, Fault, ReadVideo, TrackBoxes
from schemas.corpus import GivenVideo
from schemas.sources import ContentKind

_NO_NAME = "a video that the file does not name"


@dataclass
class _Video:
    """A video of the file, as far as it is read."""

    video: GivenVideo
    boxes: TrackBoxes
    fields: dict[str, dict[str, Any]] = field(default_factory=dict)
    found: Counter[ContentKind] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)


class CvatTracks:
    """The tracks of a CVAT file, given element by element."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._declared: dict[str | None, GivenVideo] = {}
        self._videos: dict[str, _Video] = {}
        self._num_tracks = 0

    def read_meta(self, element: ElementTree.Element) -> None:
        """Take what the file says of its videos: of a task, a job, or the tasks of a project.

        Older releases of CVAT name the video beside the task, newer ones in it.
        """
        beside = text_of(element.findtext("source"))
        tasks = [*element.iter("task"), *element.iter("job")]
        sources = [text_of(task.findtext("source")) or beside for task in tasks]
        for task, source in zip(tasks, sources, strict=True):
            if source is None:
                continue
            # Files of one name are told apart by their tasks; which of them lies here, nobody says.
            is_shared = sources.count(source) > 1
            self._declared[task.findtext("id")] = GivenVideo(
                video=f"{source} of task {task.findtext('id')}" if is_shared else source,
                width=whole_number(task.findtext("original_size/width")),
                height=whole_number(task.findtext("original_size/height")),
            )

    def add(self, element: ElementTree.Element) -> None:
        """Take a `track` element."""
        number, self._num_tracks = self._num_tracks, self._num_tracks + 1
        of_video = self._video_of(element)
        track_id = text_of(element.get("id")) or str(number)
        known = of_video.fields.setdefault(
            track_id, {"label": text_of(element.get("label")), "caption": None}
        )
        shapes = [shape for shape in element if shape.tag in SHAPES and shape.get("outside") != "1"]
        for place, shape in enumerate(shapes):
            of_video.found[ContentKind.BOXES] += 1
            where = f"{self._address}#track/{track_id}/{place}"
            fault = _add(of_video.boxes, track_id, shape)
            if fault is not None:
                of_video.faults.append(Fault(where, *fault, ONE_BOX))
                continue
            caption, _ = _texts(shape)
            if caption is not None and known["caption"] is None:
                known["caption"] = caption
                of_video.found[ContentKind.CAPTIONS] += 1
            elif caption is not None and caption != known["caption"]:
                of_video.found[ContentKind.CAPTIONS] += 1
                message = f"its track is {known['caption']!r} and {caption!r}; the first is kept"
                counts = {ContentKind.CAPTIONS: 1}
                of_video.faults.append(Fault(where, "several_captions", message, counts))

    def _video_of(self, element: ElementTree.Element) -> _Video:
        declared = self._declared.get(element.get("task_id"))
        if declared is None and len(self._declared) == 1:
            declared = next(iter(self._declared.values()))
        video = declared or GivenVideo(video=_NO_NAME)
        return self._videos.setdefault(video.video, _Video(video, TrackBoxes()))

    def videos(self) -> list[ReadVideo]:
        """The videos that have tracks, in the order of their first ones."""
        return [_read(of_video) for of_video in self._videos.values()]


def _read(of_video: _Video) -> ReadVideo:
    tracks = of_video.boxes.tracks(of_video.fields)
    found = of_video.found + Counter({ContentKind.TRACKS: len(tracks)})
    return ReadVideo(of_video.video.model_copy(update={"tracks": tracks}), found, of_video.faults)


def _add(boxes: TrackBoxes, track_id: str, shape: ElementTree.Element) -> tuple[str, str] | None:
    frame = text_of(shape.get("frame")) or ""
    if not frame.isdecimal():
        return "no_such_frame", f"{frame!r} is no number of a frame"
    box = box_of_shape(shape)
    if box is None:
        return "not_a_box", f"{shape.tag} has no box around it"
    _, attributes = _texts(shape)
    return boxes.add(track_id, int(frame), box, meta={"attributes": attributes} if attributes else None)


def _texts(shape: ElementTree.Element) -> tuple[str | None, Mapping[str, Any]]:
    """The caption of a shape, and its other attributes."""
    listed = {str(item.get("name")): item.text for item in shape.findall("attribute")}
    texts, rest = texts_of_attributes(listed, "-")
    # A track has no place of its own for a text that is read: it stays an attribute.
    rest |= {name: value for name, value in listed.items() if value and value == texts["text"]}
    return texts["caption"], rest
