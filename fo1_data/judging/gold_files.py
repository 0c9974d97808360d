"""Gold for a dataset: a corpus with gold, or a vector file of a map.

Features of a map are gold of the dataset's images by the coordinates that their rows record, so the images
need not be read. In a file that names images only those have gold; else all that have coordinates.
"""

import json

from fo1_data.corpus.listing import Listing
from fo1_data.corpus.raster_frames import frames_of
from fo1_data.corpus.readers import load_gold
from fo1_data.corpus.vector_files import is_vector_file
from fo1_data.dataset.light_rows import light_rows
from fo1_data.dataset.reader import Dataset
from fo1_data.proposals.vector_boxes import VectorBoxes
from fo1_data.storage.addresses import local_path, normalise, suffix_of
from fo1_data.storage.streams import read_whole
from schemas.corpus import CorpusImage


def load_gold_of(gold: str, dataset: Dataset, with_model_labels: bool = False) -> Listing:
    """As `load_gold`; a vector file (GeoParquet, GeoJSON, GeoPackage) is gold of the rows of `dataset`.

    Raises CorpusError and ConfigError.
    """
    address = normalise(gold)
    path = local_path(address)
    if suffix_of(address) not in (".parquet", ".geojson", ".gpkg") or (path is not None and path.is_dir()):
        return load_gold(gold, with_model_labels)
    data = read_whole(address)
    if not is_vector_file(address, data):
        return load_gold(gold, with_model_labels)
    return _gold_of_map(VectorBoxes(gold, data), dataset)


def _gold_of_map(boxes: VectorBoxes, dataset: Dataset) -> Listing:
    entries = [
        CorpusImage(
            uri=row.uri, width=row.width, height=row.height, meta=json.loads(row.meta) if row.meta else {}
        )
        for row in light_rows(dataset, pixels=False)
    ]
    placed, rejects, account = boxes.pair_with(entries)
    has_frame = [frame is not None for frame in frames_of(entries)]
    known = [
        entry
        for entry, is_known in zip(placed, has_frame, strict=True)
        if is_known and (entry.regions or not boxes.names_images)
    ]
    return Listing(known, rejects, [account])
