"""Routes the labels of tracks as those of regions: by the same calibration, thresholds and audit.

The confidence of a track's label is what the calibration makes of its signals, which are those of its best
keyframe, times `track_agreement`, the share of the keyframes' weight that says the same. A label whose
keyframes disagree is for people, however sure each of them is. A review budget counts the labels of rows
only: it neither asks for those of tracks nor spares them.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from fo1_data.confidence.open_labels import DECISIONS, labels_of_rows, open_parts
from fo1_data.confidence.routing import Router
from fo1_data.dataset.layout import VIDEOS
from fo1_data.dataset.reader import Dataset
from fo1_data.dataset.versions.derive import VersionWriter
from fo1_data.dataset.versions.video_tables import replace_tracks
from schemas.images import Answer, EncodedImage, Grounding, ImageRow, Provenance
from schemas.labels import Decision, Label, strictest
from schemas.regions import Region
from schemas.tracks import TRACK_DISAGREES, Track

_AGREEMENT = "track_agreement"


def route_tracks(
    router: Router, tracks: Sequence[Track], provenances: Mapping[str, Provenance]
) -> list[Track]:
    """The tracks, scored and decided. `provenances`: of the videos, by id."""
    rows = [_as_row(track, provenances.get(track.video_id, Provenance())) for track in tracks]
    parts = open_parts(rows)
    labels = labels_of_rows(rows, parts)
    covered = router.covered(labels)
    router.score(labels)
    labels.confidence[covered] *= np.array([_agreement(part.label) for _, part in parts], float)[covered]
    stored = labels.confidence.astype(np.float32)
    for (_, part), value in zip(parts, stored.tolist(), strict=True):
        part.label.confidence = None if np.isnan(value) else value
    if router.settings.decides:
        decided = router.decide(labels)
        for (_, part), place, reasons in zip(parts, decided.decisions.tolist(), decided.reasons, strict=True):
            disagrees = TRACK_DISAGREES in part.label.reasons
            part.label.decision = Decision.REVIEW if disagrees else DECISIONS[place]
            if reasons is not None:
                part.label.reasons = [TRACK_DISAGREES, *reasons] if disagrees else reasons
    return [_with_labels(track, row) for track, row in zip(tracks, rows, strict=True)]


def write_routed_tracks(writer: VersionWriter, dataset: Dataset, router: Router) -> None:
    """Write the tracks of a dataset, routed; they are taken over if routing changes none."""
    provenances = {
        record["video_id"]: Provenance.model_validate(record["provenance"] or {})
        for batch in dataset.batches_of(VIDEOS, ["video_id", "provenance"])
        for record in batch.to_pylist()
    }
    writer.share_table(dataset.store, VIDEOS)
    replace_tracks(writer, dataset, lambda tracks: route_tracks(router, tracks, provenances))


def _as_row(track: Track, provenance: Provenance) -> ImageRow:
    """A row whose one region is the track, with copies of its labels."""
    name = track.track_id
    region = Region(
        region_id=name,
        index=0,
        box_xyxy=track.boxes_xyxy[0],
        box_source=track.box_source,
        labels=_copied(track.labels),
    )
    return ImageRow(
        image_id=name,
        uri=name,
        uris=[name],
        corpus="",
        split="",
        image=EncodedImage(),
        width=1,
        height=1,
        regions=[region],
        groundings=[
            Grounding(phrase=part.phrase, kind=part.kind, region_ids=[name], label=label)
            for part, label in zip(
                track.phrases, _copied([part.label for part in track.phrases]), strict=True
            )
        ],
        answers=[
            Answer(question=part.question, region_id=name, answer=part.answer, label=label)
            for part, label in zip(
                track.answers, _copied([part.label for part in track.answers]), strict=True
            )
        ],
        provenance=provenance,
    )


def _with_labels(track: Track, row: ImageRow) -> Track:
    """The track with the labels of its row."""
    return track.model_copy(
        update={
            "labels": row.regions[0].labels,
            "phrases": [
                part.model_copy(update={"label": routed.label})
                for part, routed in zip(track.phrases, row.groundings, strict=True)
            ],
            "answers": [
                part.model_copy(update={"label": routed.label})
                for part, routed in zip(track.answers, row.answers, strict=True)
            ],
            "decision": strictest(label.decision for label in row.all_labels()),
        }
    )


def _copied(labels: Sequence[Label]) -> list[Label]:
    return [label.model_copy(deep=True) for label in labels]


def _agreement(label: Label) -> float:
    return next((signal.value for signal in label.signals if signal.name == _AGREEMENT), 1.0)
