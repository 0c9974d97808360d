"""The boxes of the file that `--proposals` names: by pixels and file names, or by places on a map."""

from fo1_data.corpus.vector_files import is_vector_file
from fo1_data.proposals.file_boxes import FileBoxes
from fo1_data.proposals.vector_boxes import VectorBoxes
from fo1_data.storage.addresses import normalise
from fo1_data.storage.streams import read_whole


def load_boxes_file(address: str) -> FileBoxes | VectorBoxes:
    """Read a file of boxes. A Parquet file with `geo` metadata, a GeoJSON and a GeoPackage are of a map.

    Raises ConfigError if the file is of no known form, CorpusError if it cannot be read.
    """
    data = read_whole(normalise(address))
    return VectorBoxes(address, data) if is_vector_file(address, data) else FileBoxes(address, data)
