"""How far the listing of a corpus is, for a person who waits; written by one thread, read by another."""

from dataclasses import dataclass

from fo1_data.plurals import counted


@dataclass
class ListingProgress:
    """Files found in folders, files of annotations read, and images listed so far."""

    files_found: int = 0
    annotation_files_read: int = 0
    images: int = 0

    def __str__(self) -> str:
        """The count of what the listing is at, such as `12,400 images listed`."""
        if self.images:
            return f"{counted(self.images, 'image')} listed"
        if self.annotation_files_read:
            read = counted(self.annotation_files_read, "annotation file")
            return f"{counted(self.files_found, 'file')} found, {read} read"
        return f"{counted(self.files_found, 'file')} found" if self.files_found else "reading the corpus"
