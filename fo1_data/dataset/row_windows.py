"""Windows of a row's image, which may be too large to decode, as it was labelled."""

from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.rendering import Rendering
from fo1_data.corpus.tile_reading import id_of_image
from fo1_data.corpus.windows import DecodedWindows, WindowedImage, open_windows
from fo1_data.dataset.pixels import decode_row, entries_of
from fo1_data.errors import InputReject
from schemas.images import ImageRow, RejectStage


def open_row(row: ImageRow, limits: InputLimits) -> WindowedImage:
    """The image of a row, embedded or at its first address, to read windows of it.

    The file is hashed once a process. Raises InputReject if the image cannot be read, or if the file is not
    the one that was labelled.
    """
    if row.image.bytes is not None:
        return DecodedWindows(decode_row(row, row.image.bytes, limits))
    entry = entries_of(row.uri)[0]
    if id_of_image(entry, limits) != row.image_id:
        message = f"{row.uri} holds another image now than the one that was labelled"
        raise InputReject(RejectStage.FETCH, "not_found", message)
    return open_windows(entry, limits, Rendering.of_row(row.meta))
