"""What a review costs a person: the assumed time for one label, used until annotations have been timed."""

# Seconds to open a region with its box on the image, read one caption and decide.
REVIEW_S_PER_LABEL = 5.0
