"""The encoded bytes of a corpus entry: a file, an archive member, a Parquet row or a video frame."""

from fo1_data.corpus.archives import read_member
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.parquet_images import is_parquet_row, read_parquet_image
from fo1_data.corpus.videos import is_video, read_frame
from fo1_data.storage.downloads import download
from schemas.corpus import CorpusImage


def read_bytes(entry: CorpusImage, limits: InputLimits) -> bytes:
    """Read the encoded bytes of an entry's image. Raises InputReject (stage `fetch`)."""
    if entry.inner is not None and is_video(entry.uri):
        return read_frame(entry)
    if is_parquet_row(entry):
        return read_parquet_image(entry, limits)
    if entry.inner is not None:
        return read_member(entry, limits)
    return download(entry.uri, max_bytes=limits.max_bytes, timeout_s=limits.download_timeout_s)
