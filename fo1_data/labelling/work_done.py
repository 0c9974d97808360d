"""What a labeller has done of the entries in work, so that progress moves before they are finished."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace


@dataclass
class WorkDone:
    """Counts. images_read: entries read and decoded, or rejected; images: those that are labelled too.
    frames, shots: of videos that are tracked."""

    images_read: int = 0
    images: int = 0
    regions: int = 0
    answers: int = 0
    frames: int = 0
    shots: int = 0

    def __add__(self, other: "WorkDone") -> "WorkDone":
        return WorkDone(
            self.images_read + other.images_read,
            self.images + other.images,
            self.regions + other.regions,
            self.answers + other.answers,
            self.frames + other.frames,
            self.shots + other.shots,
        )


@dataclass
class WorkTracker:
    """Counts the work of one call, in its own thread. on_change: called after every step."""

    done: WorkDone = field(default_factory=WorkDone)
    on_change: Callable[[], None] = lambda: None

    def image_read(self) -> None:
        """An entry was read and decoded, or rejected."""
        self.done.images_read += 1
        self.on_change()

    def answered(self) -> None:
        """A question was answered."""
        self.done.answers += 1
        self.on_change()

    def labelled(self, num_regions: int) -> None:
        """The entries that were read so far are labelled, the last of them with `num_regions`."""
        self.done.images = self.done.images_read
        self.done.regions += num_regions
        self.on_change()

    def frame_seen(self) -> None:
        """A frame of a video was decoded and looked at."""
        self.done.frames += 1
        self.on_change()

    def shots_done(self, num_shots: int = 1) -> None:
        """Shots of a video are labelled and stored."""
        self.done.shots += num_shots
        self.on_change()

    def copy(self) -> WorkDone:
        """The counts now."""
        return replace(self.done)


class VideoTracker(WorkTracker):
    """Counts the work on a video, whose keyframes are not images of the corpus."""

    def image_read(self) -> None:
        self.on_change()

    def labelled(self, num_regions: int) -> None:
        self.done.regions += num_regions
        self.on_change()
