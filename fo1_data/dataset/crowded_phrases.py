"""Counts the phrases of a dataset that name more regions than a person can be shown at once."""

import numpy as np
import pyarrow.compute as pc

from fo1_data.dataset.arrow_columns import array_to_numpy
from fo1_data.dataset.items import Items
from fo1_data.dataset.reader import open_dataset
from fo1_data.dataset.row_batches import read_batches


def num_crowded_phrases(address: str, most_regions: int) -> int:
    """How many phrases name more than `most_regions` regions. Reads one column. Raises DatasetError."""
    dataset = open_dataset(address)
    total = 0
    for file in dataset.data_files():
        for batch in read_batches(dataset.store, file.path, columns=["groundings"]):
            ids = Items.of(batch)["groundings"].each["region_ids"].values
            total += int(np.sum(array_to_numpy(pc.fill_null(pc.list_value_length(ids), 0)) > most_regions))
    return total
