"""All that is fuzzed, with its share of the inputs."""

from fuzz_answers import answers
from fuzz_files import files
from fuzz_listings import listings
from fuzz_masks import masks
from fuzz_pictures import pictures
from fuzz_requests import requests
from fuzz_reviews import reviews
from fuzz_target import Target

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
    Target("answers", "what is well formed comes back; labels name regions that the row has", 30, answers),
    Target("reviews", "each result is in a correction, named, or set aside with a reason; once", 15, reviews),
    Target(
        "requests", "no fault of the server; errors as documented; a refusal changes nothing", 7, requests
    ),
    Target("files", "read, or refused in one line; the same twice", 10, files),
    Target("masks", "a mask of its size, or none", 3, masks, may_end=True),
]
