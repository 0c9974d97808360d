"""Whether the pixels of a DICOM image may contain text, such as a patient's name.

Nothing but the file itself can tell, and few files do. So an image is refused unless the file says that it
has none (BurnedInAnnotation NO), or it is of a kind to which no text is added: the acquired images of CT, MR,
X-ray and nuclear medicine. Looks at no pixel.
"""

from typing import Any

_STORAGE = "1.2.840.10008.5.1.4.1.1."
# Storage classes of acquired images that are stored as they were reconstructed (PS3.4, table B.5-1).
_CLEAN = frozenset(
    f"{_STORAGE}{number}"
    for number in (
        "1",  # computed radiography
        *("1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1"),  # digital X-ray, mammography, intra-oral
        *("2", "2.1", "2.2"),  # CT
        *("4", "4.1", "4.3", "4.4"),  # MR
        *("12.1", "12.1.1", "12.2", "12.2.1"),  # angiography, fluoroscopy
        *("13.1.1", "13.1.2", "13.1.3", "13.1.4", "13.1.5"),  # X-ray volumes, tomosynthesis
        *("20", "128", "128.1", "130"),  # nuclear medicine, PET
        *("30", "66.4", "481.1", "481.2"),  # parametric maps, segmentations, radiotherapy images and doses
    )
)
# Words of ImageType that vendors give to pictures of a screen, of a page or of a label.
_TEXT_WORDS = ("SCREEN", "SNAPSHOT", "CAPTURE", "REPORT", "PROTOCOL", "DOSE", "LABEL", "OVERVIEW", "RESULT")


def why_text_is_possible(header: Any) -> str | None:
    """Why the image has, or may have, text in its pixels; None if nothing speaks for it."""
    said = str(header.get("BurnedInAnnotation") or "").strip().upper()
    if said == "YES":
        return "BurnedInAnnotation is YES"
    if str(header.get("SpecimenLabelInImage") or "").strip().upper() == "YES":
        return "it shows the label of a specimen"
    if said == "NO":
        return None
    absent = "and BurnedInAnnotation does not say that it has none"
    types = [str(value).upper() for value in _values(header.get("ImageType"))]
    if any(word in value for value in types for word in _TEXT_WORDS):
        return f"its ImageType is that of a screenshot or a page, {absent}"
    if header.get("ConversionType"):
        return f"it was made from a screen, film or paper, {absent}"
    if str(header.get("SOPClassUID") or "") not in _CLEAN:
        return f"it is an ultrasound, a secondary capture or another kind that often has some, {absent}"
    return None


def _values(value: Any) -> list[Any]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)
