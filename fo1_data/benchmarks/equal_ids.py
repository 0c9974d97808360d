"""How long and how much memory it takes to find the equal ids of many made-up images.

    python -m fo1_data.benchmarks.equal_ids 1000000 3000000 10000000

prints processor seconds without those of making the ids up, and the largest resident memory so far. Shards
have 100 images; every thousandth has one image of the shard before it.
"""

import json
import resource
import sys
import time

import numpy as np

from fo1_data.dataset.image_ids import ID_BYTES, ImageIds

IMAGES_A_SHARD = 100


def measure(num_images: int) -> dict[str, float]:
    """The figures of so many images."""
    draw, ids = np.random.default_rng(0), ImageIds()
    seconds, before = 0.0, b""
    for shard in range(num_images // IMAGES_A_SHARD):
        image_ids = draw.bytes(IMAGES_A_SHARD * ID_BYTES)
        if shard % 1000 == 1:
            image_ids = before[:ID_BYTES] + image_ids[ID_BYTES:]
        before = image_ids
        started_s = time.process_time()
        ids.add(image_ids, shard)
        seconds += time.process_time() - started_s
    started_s = time.process_time()
    num_repeated = sum(1 for _ in ids.repeated())
    seconds += time.process_time() - started_s
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return {"images": num_images, "cpu_s": round(seconds, 2), "repeated": num_repeated, "peak_mib": peak_mib}


def main() -> None:
    """Measure the numbers of images that the command line names."""
    for argument in sys.argv[1:]:
        print(json.dumps(measure(int(argument))), flush=True)


if __name__ == "__main__":
    main()
