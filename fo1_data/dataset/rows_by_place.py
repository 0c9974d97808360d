"""A few rows of a dataset by their positions among all rows. Reads only the row groups that hold them, and no
signals of labels, which are most of a row of many regions.
"""

from collections.abc import Sequence

from fo1_data.dataset.light_rows import light_columns
from fo1_data.dataset.reader import BATCH_ROWS, Dataset, open_parquet
from fo1_data.dataset.rows import table_to_rows
from schemas.images import ImageRow


def rows_at(dataset: Dataset, places: Sequence[int]) -> list[ImageRow]:
    """The rows at these positions, counted from 0, in the order of `places`; no label has signals.

    Raises DatasetError.
    """
    rows: dict[int, ImageRow] = {}
    remaining = sorted(set(places), reverse=True)
    start = 0
    for file in dataset.data_files():
        if not remaining:
            break
        if remaining[-1] >= start + file.num_rows:
            start += file.num_rows
            continue
        with open_parquet(dataset.store, file.path) as parquet:
            columns = light_columns(parquet)
            for group in range(parquet.num_row_groups):
                end = start + parquet.metadata.row_group(group).num_rows
                if remaining and remaining[-1] < end:
                    for batch in parquet.iter_batches(
                        batch_size=BATCH_ROWS, row_groups=[group], columns=columns
                    ):
                        while remaining and remaining[-1] < start + batch.num_rows:
                            place = remaining.pop()
                            (rows[place],) = table_to_rows(batch.slice(place - start, 1))
                        start += batch.num_rows
                start = end
    return [rows[place] for place in places]
