"""DICOM structured reports (Comprehensive SR, TID 1500 with a planar region of TID 1410 for each region).

A report belongs to one DICOM file and names its patient, as every part of a study does: it is made for the
archive that the file came from. So the files are needed again; wherever they are now, they are found by the
hashes of their UIDs in the rows' `meta`. A region is the closed outline of its box in pixels of the frame,
with its id as tracking identifier and its captions, label and text as text items of the scheme 99FO1.
Phrases, counts, answers and confidences are dropped, and regions that are stale.
"""

import io
import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from fo1_data.corpus.dicom.listing import META
from fo1_data.corpus.dicom.settings import DicomSettings
from fo1_data.corpus.frame_names import number_of_frame
from fo1_data.corpus.readers import load_listing
from fo1_data.dataset.layout import code_version
from fo1_data.dataset.light_rows import light_rows
from fo1_data.dataset.reader import Dataset
from fo1_data.dataset.versions.publish import without_stale
from fo1_data.errors import ConfigError, DatasetError
from fo1_data.plurals import counted
from fo1_data.storage.store import Store
from fo1_data.storage.streams import read_whole
from schemas.images import ImageRow
from schemas.regions import Region

SCHEME = "99FO1"
TEXTS = ("brief_caption", "detailed_caption", "source_caption", "source_label", "text")
_TEXT_MEANINGS = {name: name.replace("_", " ").capitalize() for name in TEXTS}
_ALL_FRAMES = 2**31 - 1


def export_dicom_sr(dataset: Dataset, store: Store, files: str | None) -> dict[str, int]:
    """Write a report for each DICOM file with regions; returns how many reports, regions and images.

    `left_out_elsewhere`: frames equal to a labelled one in other files, of which one was not found, because
    only the first of them is known by its UID, the others by where they were.

    `files`: the folder, file or DICOMDIR with the images that were labelled.
    Raises ConfigError without them or without highdicom, DatasetError if one of them is missing.
    """
    if files is None:
        raise ConfigError("--format dicom-sr needs --dicom-files DIR, where the labelled files are")
    _require_highdicom()
    rows: dict[str, list[tuple[int, ImageRow]]] = defaultdict(list)
    num_others = num_elsewhere = 0
    places, instance_at = _places(files)
    for row in map(without_stale, light_rows(dataset, pixels=False)):
        facts = (json.loads(row.meta) if row.meta else {}).get(META) or {}
        if facts.get("instance") is None:
            num_others += 1
            continue
        own = {row.uri.partition("::")[0]: facts["instance"]}
        for address, frame in _frames(row) if row.regions else ():
            instance = own.get(address) or instance_at.get(address)
            if instance is None:
                num_elsewhere += 1
            else:
                rows[instance].append((frame, row))
    missing = rows.keys() - places.keys()
    if missing:
        raise DatasetError(
            f"{counted(len(missing), 'labelled DICOM file is', 'labelled DICOM files are')} not in {files}, "
            "or were labelled with another key (dicom.key under FO1_HOME)"
        )
    for number, instance in enumerate(rows, 1):
        store.write_bytes(f"{instance}.dcm", _report(rows[instance], places[instance], number))
    framed = [row for frames in rows.values() for _, row in frames]
    return {
        "reports": len(rows),
        "images": len(framed),
        "regions": sum(len(row.regions) for row in framed),
        "left_out_no_dicom": num_others,
        "left_out_elsewhere": num_elsewhere,
    }


def _require_highdicom() -> None:
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise ConfigError("--format dicom-sr needs highdicom: install fo1-data[dicom]") from None


def _frames(row: ImageRow) -> Iterator[tuple[str, int]]:
    """Address and number of each frame that the row stands for: equal ones, also of other files, share it."""
    for uri in row.uris:
        address, _, inner = uri.partition("::")
        if (number := number_of_frame(inner)) is not None:
            yield address, number


def _places(files: str) -> tuple[dict[str, str], dict[str, str]]:
    """The address of each DICOM file by the hash of its UID, and that hash by the address in rows."""
    settings = DicomSettings(allow_burned_in_text=True, max_frames=_ALL_FRAMES)
    places: dict[str, str] = {}
    instance_at: dict[str, str] = {}
    for entry in load_listing(files, dicom=settings).entries:
        facts = (entry.meta or {}).get(META)
        if facts and facts["instance"] is not None:
            places[facts["instance"]] = entry.origin.uri
            instance_at |= dict.fromkeys((entry.uri, entry.origin.uri), facts["instance"])
    return places, instance_at


def _report(rows: list[tuple[int, ImageRow]], address: str, number: int) -> bytes:
    """The encoded report of one file. `rows`: its frames with regions, by number."""
    import highdicom as hd
    import pydicom
    from pydicom.sr.codedict import codes

    source = pydicom.dcmread(io.BytesIO(read_whole(address)), stop_before_pixels=True)
    groups = [
        _group(region, source, frame)
        for frame, row in sorted(rows, key=lambda pair: pair[0])
        for region in row.regions
    ]
    device = hd.sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=pydicom.uid.generate_uid(entropy_srcs=["fo1-data"]), name="fo1-data"
        ),
    )
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_device_context=device),
        procedure_reported=hd.sr.CodedConcept("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=groups,
    )
    try:
        report = hd.sr.ComprehensiveSR(
            evidence=[source],
            content=content[0],
            series_instance_uid=pydicom.uid.generate_uid(),
            series_number=1,
            sop_instance_uid=pydicom.uid.generate_uid(),
            instance_number=number,
            manufacturer="fo1-data",
            manufacturer_model_name="fo1-data",
            software_versions=code_version(),
            device_serial_number="none",
        )
    except AttributeError as error:
        raise DatasetError(f"a DICOM file lacks what a report must repeat of it ({error})") from None
    buffer = io.BytesIO()
    report.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _group(region: Region, source: Any, frame: int) -> Any:
    """One region, as TID 1410 has it."""
    import highdicom as hd
    from pydicom.uid import generate_uid

    x_min, y_min, x_max, y_max = region.box_xyxy
    corners = [(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max), (x_min, y_min)]
    of_frames = [frame] if int(source.get("NumberOfFrames") or 1) > 1 else None
    group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=generate_uid(entropy_srcs=[region.region_id, str(source.SOPInstanceUID), str(frame)]),
            identifier=region.region_id,
        ),
        referenced_region=hd.sr.ImageRegion(
            graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
            graphic_data=np.array(corners, np.float32),
            source_image=hd.sr.SourceImageForRegion(source.SOPClassUID, source.SOPInstanceUID, of_frames),
        ),
        finding_type=hd.sr.CodedConcept("region", SCHEME, "Labelled region"),
    )
    for name in TEXTS:
        value = getattr(region, name)
        if value:
            item = hd.sr.TextContentItem(
                hd.sr.CodedConcept(name, SCHEME, _TEXT_MEANINGS[name]),
                value,
                hd.sr.RelationshipTypeValues.CONTAINS,
            )
            group[0].ContentSequence.append(item)
    return group
