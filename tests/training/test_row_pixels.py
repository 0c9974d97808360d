"""Training reads the pixels that labelling saw, whatever the image's format and whatever decodes it."""

import io

import numpy as np
import pytest
from factories import make_boxes, make_dataset, make_image, make_row
from PIL import ExifTags, Image

pytest.importorskip("torch")

from fo1_data.corpus.images import InputLimits, decode_rgb, image_id_of
from fo1_data.dataset.pixels import upright
from fo1_data.training.samples.open_examples import open_example
from fo1_data.training.samples.source import open_source
from fo1_data.training.samples.stream import SampleStream
from schemas.images import EncodedImage

LIMITS = InputLimits()


def encoded(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def images_of_every_kind():
    """Encoded images of 64 x 48 pixels, upright or not, by what is special in them."""
    plain = make_image(3, 64, 48, make_boxes(4))
    jpeg = encoded(plain, "JPEG")
    kinds = {
        "jpeg": jpeg,
        "progressive": encoded(plain, "JPEG", progressive=True, subsampling=2),
        "grey jpeg": encoded(plain.convert("L"), "JPEG"),
        "cmyk": encoded(plain.convert("CMYK"), "JPEG"),
        "jpeg with a warning": jpeg[:-2] + b"\0\0" + jpeg[-2:],
        "png": encoded(plain, "PNG"),
        "black and white png": encoded(plain.convert("1"), "PNG"),
        "palette": encoded(plain.quantize(16), "PNG"),
        "palette with transparency": encoded(plain.quantize(16), "PNG", transparency=3),
        "colour key": encoded(plain, "PNG", transparency=plain.getpixel((5, 5))),
        "alpha": encoded(plain.convert("RGBA").rotate(20), "PNG"),
        "16 bit": encoded(Image.fromarray(np.arange(64 * 48, dtype=np.uint16).reshape(48, 64) * 21), "PNG"),
        "webp": encoded(plain, "WEBP"),
    }
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        for form in ("JPEG", "PNG"):
            kinds[f"{form} turned {orientation}"] = encoded(plain, form, exif=exif)
    return kinds


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Rows by their boxes, of which each image has its own, and the folder of their dataset."""
    folder = tmp_path_factory.mktemp("pixels") / "d"
    by_boxes = {}
    for seed, data in enumerate(images_of_every_kind().values()):
        image = decode_rgb(data, LIMITS)
        row = make_row(seed, width=image.width, height=image.height, orientation=image.orientation)
        row = row.model_copy(
            update={"image_id": image_id_of(data), "image": EncodedImage(bytes=data, path="image")}
        )
        by_boxes[boxes_of(row.regions)] = (row, np.asarray(image.rgb))
    make_dataset(folder, [row for row, _ in by_boxes.values()])
    return folder, by_boxes


def boxes_of(regions):
    return np.array([region.box_xyxy for region in regions], np.float32).tobytes()


@pytest.mark.parametrize("threads", [0, 3])
def test_a_stream_gives_the_pixels_of_labelling_in_order(rows, threads):
    folder, by_boxes = rows
    samples = list(SampleStream([str(folder)], threads=threads))
    assert [sample.place for sample in samples] == list(range(len(by_boxes)))
    for sample in samples:
        row, pixels = by_boxes[sample.boxes_xyxy.tobytes()]
        assert np.array_equal(sample.image, pixels), row.uri
        assert sample.captions == [region.brief_caption for region in row.regions]


def test_the_trainer_gets_the_image_that_was_labelled(rows):
    folder, by_boxes = rows
    source = open_source([str(folder)])
    assert len(source) == len(by_boxes)
    for place in range(len(source)):
        image, entry = open_example(source.at(place), LIMITS)
        row, pixels = by_boxes[boxes_of(entry.regions)]
        again = decode_rgb(row.image.bytes, LIMITS)
        assert np.array_equal(image.rgb, pixels)
        assert (image.image_id, image.width, image.height) == (again.image_id, again.width, again.height)
        assert (image.orientation, image.stored_wh) == (again.orientation, again.stored_wh)


def test_a_stream_with_threads_resumes_and_stops_early(rows):
    folder, _ = rows
    places = [sample.place for sample in SampleStream([str(folder)], start=5, stop=40, threads=2)]
    assert places == list(range(5, 40))
    stream = iter(SampleStream([str(folder)], threads=2))
    first = next(stream)
    stream.close()
    again = next(iter(SampleStream([str(folder)])))
    assert np.array_equal(first.image, again.image)


def test_other_programs_see_in_a_copy_what_was_labelled(rows):
    _, by_boxes = rows
    kinds = images_of_every_kind()
    assert len(kinds) == len(by_boxes)
    for kind, (row, pixels) in zip(kinds, by_boxes.values(), strict=True):
        copy = Image.open(io.BytesIO(upright(row, row.image.bytes, LIMITS)))
        assert not copy.getexif().get(ExifTags.Base.Orientation)
        seen = np.asarray(copy.convert("RGB")).astype(int)
        assert np.abs(seen - pixels).mean() <= (0 if row.orientation == 1 else 6), kind
