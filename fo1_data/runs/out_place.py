"""The place that a run writes to, where its store refuses it before any work is done."""

from collections.abc import Iterator
from contextlib import contextmanager

from fo1_data.errors import ConfigError, StorageError, refuse_full_disk
from fo1_data.storage.store_faults import store_failed


@contextmanager
def asking_place(out: str) -> Iterator[None]:
    """Raise ConfigError where the store refuses the place in the block: another has to be named.

    A store that failed by itself or is full, and a file that is damaged or gone, stay a StorageError.
    """
    try:
        yield
    except StorageError as error:
        refuse_full_disk(error)
        if store_failed(error) or error.__cause__ is None:
            raise
        raise ConfigError(f"cannot write the dataset to {out}: {error}") from error
