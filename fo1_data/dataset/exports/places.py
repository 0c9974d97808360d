"""Where the files of an export are, for those who read it from another folder or machine."""

from fo1_data.storage.addresses import local_path
from fo1_data.storage.store import Store


def absolute_address(store: Store, path: str = "") -> str:
    """The address of a file of the export that holds in every folder: an absolute path, or a URL."""
    address = store.address(path)
    local = local_path(address)
    return address if local is None else str(local.absolute())


def image_prefix(store: Store, image_root: str | None) -> str:
    """What is put before the paths of images in an export: empty, or a folder with a slash behind it.

    `image_root`: the folder of the export as the trainer sees it; `.` for paths that begin in the export's
    folder. None: the folder itself, if it is a local one.
    """
    if image_root is None:
        image_root = "." if local_path(store.url) is None else absolute_address(store)
    return "" if image_root in ("", ".") else f"{image_root.rstrip('/')}/"
