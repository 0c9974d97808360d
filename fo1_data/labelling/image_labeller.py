"""Labels images in one process: corpus entries in, rows and rejects out.

Reading, decoding and resizing run in threads ahead of the model (`read_ahead`), and so does encoding where
several cores compute (`batches_ahead`). An image that cannot be used is a reject, never an exception; images
with equal bytes are labelled once. Does not write anything.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from fo1_data.boxes import as_boxes
from fo1_data.config import corpus_name
from fo1_data.corpus.rejects import reject_from, unused_annotations
from fo1_data.errors import InputReject
from fo1_data.labelling.asking import RowQuestions, fill_rows
from fo1_data.labelling.batches_ahead import BatchesAhead, ImageStarter, StartedBatch, StartedImages
from fo1_data.labelling.held_images import HeldImage, HeldImages
from fo1_data.labelling.loading import LoadedModels, load_models
from fo1_data.labelling.provenance import make_provenance
from fo1_data.labelling.questions import QuestionPlan
from fo1_data.labelling.reading import CarriedImage, EntryReader, ReadImage
from fo1_data.labelling.rows import make_regions
from fo1_data.labelling.second_opinions import LabelledImage, load_opinions
from fo1_data.labelling.second_questions import SecondRound
from fo1_data.labelling.stale_regions import relabel_stale_regions
from fo1_data.labelling.word_lists import read_phrases, refuse_unknown_words, sought_words, vocabulary_of
from fo1_data.labelling.work_done import WorkTracker
from fo1_data.model.reserved_tokens import clean_phrase
from fo1_data.proposals.held_boxes import HeldBoxes
from fo1_data.proposals.proposer import Proposals
from fo1_data.proposals.video_boxes import FollowedShot
from fo1_data.tracking.names import SAM3
from schemas.corpus import CorpusImage
from schemas.images import EncodedImage, ImageRow, Reject, RejectStage
from schemas.jobs import RunConfig
from schemas.labels import LabelKind

# An image's row, or why it has none.
_Outcome = ImageRow | InputReject


class ImageLabeller:
    """A model, a proposer, and the questions of a run.

    models: None loads those of the settings. Raises ConfigError, CheckpointError, CorpusError or DatasetError
    if a part of the settings cannot be loaded.
    """

    def __init__(self, config: RunConfig, models: LoadedModels | None = None) -> None:
        refuse_unknown_words(config)
        self._config = config
        self._phrases = read_phrases(config.phrases)
        models = models or load_models(
            config.model,
            config.proposals,
            device=config.device,
            dtype=config.dtype,
            engine_bytes=config.engine_bytes,
            score_floor=config.score_floor,
            nms_iou=config.nms_iou,
            max_proposals=config.max_proposals,
            words=sought_words(config, self._phrases),
            masks=config.masks,
            follows_videos=config.tracker == SAM3,
        )
        self._masks, self._video_boxes = models.masks, models.video_boxes
        self._engine, self._proposer, self.identity = models.engine, models.proposer, models.identity
        self._held = HeldImages()
        reader = EntryReader(config, models.engine.checkpoint.processor.resize, self._held.encoded)
        boxes = HeldBoxes(models.proposer, self._held.proposals)
        self._starter = ImageStarter(models.engine, boxes, config)
        self._batches = BatchesAhead(reader.read, self._starter, models.engine, config.batch_images)
        self._second_round = SecondRound(frozenset(config.second_questions), config.unsure_below)
        self._opinions = load_opinions(config)

    def attach_boxes(self, entries: list[CorpusImage]) -> list[CorpusImage]:
        """The entries with the boxes of a file (`--proposals FILE`); unchanged for any other proposer."""
        return self._proposer.attach_boxes(entries)

    def read_ahead(self, entries: list[CorpusImage]) -> None:
        """Begin with these entries while others are labelled: `label_entries` is called with this list soon.

        Any thread may call it. At most two lists are held.
        """
        self._batches.announce(entries)

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        """The boxes of upright RGB images that are not labelled, such as most frames of a video."""
        return self._proposer.propose(images, entries)

    def follow(self, video: CorpusImage) -> FollowedShot:
        """Begin with a shot of a video, whose things the proposer follows by itself (`--tracker sam3`)."""
        assert self._video_boxes is not None
        return self._video_boxes.follow(video)

    def label_held(
        self, images: Sequence[HeldImage], tracker: WorkTracker
    ) -> tuple[list[ImageRow], list[Reject]]:
        """`label_entries` of images whose bytes and boxes are at hand."""
        with self._held.holding(images):
            return self.label_entries([image.entry for image in images], tracker)

    def label_entries(
        self, entries: list[CorpusImage], tracker: WorkTracker | None = None
    ) -> tuple[list[ImageRow], list[Reject]]:
        """Rows in the order of the entries, and a reject for every entry or box that gave none.

        Boxes of a file (`--proposals FILE`) must be in the entries already; see `attach_boxes`.
        """
        tracker = tracker or WorkTracker()
        self._engine.on_answer = tracker.answered
        rejects: list[Reject] = []
        outcomes: dict[str, _Outcome | None] = {}  # by the keys of images; None: not labelled yet
        first_entries: dict[str, CorpusImage] = {}
        with self._engine.helping():
            reading = self._batches.begin(entries)
            try:
                while (batch := self._batches.next(reading)) is not None:
                    self._label_batch(batch, outcomes, first_entries, rejects, tracker)
            finally:
                self._batches.end(reading)
        return [row for row in outcomes.values() if isinstance(row, ImageRow)], rejects

    def _label_batch(
        self,
        batch: StartedBatch,
        outcomes: dict[str, _Outcome | None],
        first_entries: dict[str, CorpusImage],
        rejects: list[Reject],
        tracker: WorkTracker,
    ) -> None:
        """Add the rows of a batch, and the rejects of its images."""
        rejects += batch.read.rejects
        for _ in range(batch.read.num_entries):
            tracker.image_read()
        repeated: list[ReadImage | CarriedImage] = []
        for image in batch.read.images:
            if image.key in outcomes:
                repeated.append(image)
            elif isinstance(image, CarriedImage):
                outcomes[image.key] = self._carry_over(image)
            else:
                outcomes[image.key] = None
                first_entries[image.key] = image.entry
        labelled = self._label_or_halve(batch.new, batch.started)
        outcomes.update(labelled)
        if LabelKind.GROUND in self._config.labels and not self._phrases:
            images = [image for image in batch.new if image.tile is None or image.tile.is_whole]
            rejects += [reject for image in images for reject in phrase_rejects(image.entry)]
        rows = (row for row in labelled.values() if isinstance(row, ImageRow))
        tracker.labelled(sum(len(row.regions) for row in rows))
        for image in (*batch.new, *repeated):
            outcome = outcomes[image.key]
            if isinstance(outcome, InputReject):
                rejects.append(reject_from(image.entry, outcome))
            elif outcome is not None and image.entry.name not in outcome.uris:
                outcome.uris.append(image.entry.name)
                rejects += unused_annotations(image.entry, first_entries.get(image.key))

    def _carry_over(self, carried: CarriedImage) -> ImageRow:
        """The parent's row, with fresh labels for its stale regions if the image fits on the device."""
        if carried.image is None:
            return carried.row
        plan = QuestionPlan(self._config.labels, max_new_tokens=self._config.max_new_tokens)
        try:
            return relabel_stale_regions(self._engine, carried.row, carried.image, plan)
        except MemoryError:
            return carried.row

    def _label_or_halve(
        self, images: Sequence[ReadImage], started: StartedImages | Exception | None
    ) -> dict[str, _Outcome]:
        """Label images, or their halves if memory runs out; a single one that does not fit has no row.

        Returns the outcomes by the keys of the images.
        """
        if not images:
            return {}
        try:
            if isinstance(started, Exception):
                raise started
            return {**self._label(started or self._starter.start(images))}
        except MemoryError as error:
            if len(images) == 1:
                problem = InputReject(RejectStage.LABEL, "out_of_memory", str(error), replayable=True)
                return {images[0].key: problem}
        middle = len(images) // 2
        halves = images[:middle], images[middle:]
        labelled = [self._label_or_halve(half, None) for half in halves]
        return labelled[0] | labelled[1]

    def _label(self, started: StartedImages) -> dict[str, ImageRow]:
        opened = self._starter.open(started)
        try:
            requests = [
                RowQuestions(
                    self._new_row(image, proposals),
                    image.entry,
                    open_image,
                    image.image.rgb,
                    self._plan(image, marked, proposals).of(open_image),
                )
                for image, proposals, open_image, marked in zip(
                    started.images, started.proposals, opened, started.examples, strict=True
                )
            ]
            evidence = fill_rows(self._engine, requests)
            self._second_round.ask(self._engine, list(zip(opened, evidence, strict=True)))
        finally:
            self._engine.close(opened)
        if self._opinions is not None:
            self._opinions.ask(
                [
                    LabelledImage(image.image.rgb, request.row, labels)
                    for image, request, labels in zip(started.images, requests, evidence, strict=True)
                ]
            )
        for image, request in zip(started.images, requests, strict=True):
            self._add_masks(image, request.row)
        return {
            image.key: request.row if image.tile is None else image.tile.row_to_image(request.row)
            for image, request in zip(started.images, requests, strict=True)
        }

    def _add_masks(self, image: ReadImage, row: ImageRow) -> None:
        """Give each region without a mask the one of its box."""
        regions = [region for region in row.regions if region.mask_rle is None]
        if self._masks is not None and regions:
            boxes = as_boxes([region.box_xyxy for region in regions])
            masks = self._masks.of_boxes(image.image.rgb, boxes)
            for region, mask in zip(regions, masks, strict=True):
                region.mask_rle = mask

    def _plan(self, image: ReadImage, examples: Sequence[int], proposals: Proposals) -> QuestionPlan:
        kinds: Sequence[LabelKind] = self._config.labels
        if image.tile is not None:
            kinds = image.tile.kinds(kinds, self._config.question, len(proposals.boxes_xyxy))
        return QuestionPlan(
            kinds,
            vocabulary=vocabulary_of(image.entry, self._config),
            phrases=self._phrases or [phrase.text for phrase in image.entry.phrases],
            examples=examples,
            question=self._config.question,
            max_new_tokens=self._config.max_new_tokens,
            asked=None if proposals.asked is None else np.flatnonzero(proposals.asked).tolist(),
        )

    def _new_row(self, image: ReadImage, proposals: Proposals) -> ImageRow:
        """The row before any question: the image, its regions, and the provenance of its labels."""
        decoded, name = image.image, image.entry.name
        return ImageRow(
            image_id=decoded.image_id,
            uri=name,
            uris=[name],
            corpus=corpus_name(self._config, image.entry.is_hidden),
            split=split_of(decoded.image_id, self._config.validation_share, self._config.test_share),
            source_id=image.entry.id,
            image=EncodedImage(bytes=image.encoded, path=name),
            width=decoded.width,
            height=decoded.height,
            orientation=decoded.orientation,
            regions=make_regions(decoded, proposals),
            provenance=make_provenance(self.identity, image.entry, is_detected=proposals.regions is None),
        )


def phrase_rejects(entry: CorpusImage) -> list[Reject]:
    """A reject for each phrase that cannot be asked, because reserved tokens alone make it up."""
    return [
        reject_from(
            entry,
            InputReject(
                RejectStage.LABEL,
                "reserved_tokens",
                f"phrase {phrase.text!r} holds nothing but reserved tokens: it is not asked",
            ),
        )
        for phrase in entry.phrases
        if not clean_phrase(phrase.text)
    ]


def split_of(image_id: str, validation_share: float, test_share: float) -> str:
    """The split of an image, by its id, which is a hash: `test`, `validation` or `train`."""
    place = int(image_id[:8], 16) / 2**32
    if place < test_share:
        return "test"
    return "validation" if place < test_share + validation_share else "train"
