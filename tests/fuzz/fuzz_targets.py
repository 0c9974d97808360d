"""All that is fuzzed, with its share of the inputs."""

from fuzz_answers import answers
from fuzz_checkpoints import checkpoints
from fuzz_corrections import corrections
from fuzz_datasets import datasets
from fuzz_dicom import dicom
from fuzz_environment import environment
from fuzz_files import files
from fuzz_listings import listings
from fuzz_masks import masks
from fuzz_models import models
from fuzz_packed import packed
from fuzz_pictures import pictures
from fuzz_pulls import pulls
from fuzz_requests import requests
from fuzz_reviews import reviews
from fuzz_target import Target
from fuzz_tracks import tracks
from fuzz_vectors import vectors
from fuzz_videos import videos

TARGETS = [
    Target(
        "listings",
        "each annotation is in an entry or counted as rejected, or the corpus is refused in one line; "
        "the same twice",
        25,
        listings,
    ),
    Target(
        "pictures",
        "a picture within the limits or a reject; memory within the limits",
        10,
        pictures,
        may_end=True,
    ),
    Target("answers", "what is well formed comes back; labels name regions that the row has", 24.8, answers),
    Target("reviews", "each result is in a correction, named, or set aside with a reason; once", 14, reviews),
    Target(
        "requests", "no fault of the server; errors as documented; a refusal changes nothing", 5, requests
    ),
    Target("files", "read, or refused in one line; the same twice", 8, files),
    Target("masks", "a mask of its size, or none", 2.4, masks, may_end=True),
    Target("corrections", "each is done or left out; the last counts; the row is sound", 2, corrections),
    Target("checkpoints", "read, or refused in one line; the same twice", 1.2, checkpoints),
    Target("models", "answers, or refused in a line that names a file; in bounded memory", 0.2, models),
    Target(
        "dicom", "a picture within the limits or a reject, which does not name the patient", 1, dicom, True
    ),
    Target("packed", "as of dicom, with packed pixels; memory within the limits", 1, packed, True),
    Target("vectors", "each feature is a box, or counted with a reason", 0.9, vectors, may_end=True),
    Target("datasets", "what is damaged is named; what is sound is read", 0.3, datasets, may_end=True),
    Target("videos", "frames as the video says, or a reject in one line", 0.15, videos, may_end=True),
    Target("tracks", "in each frame the tracks that an annotation shows, or a problem is told", 2, tracks),
    Target("environment", "settings that the service starts with, or a line that names one", 2, environment),
    Target("pulls", "each annotation is stored once, whole, and used or set aside", 0.05, pulls),
]
