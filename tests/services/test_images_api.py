"""Images over HTTP: upright whatever EXIF says, in parts, by signed links that end and can be revoked."""

import io
import json
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from factories import COLOURS, encode, make_image, make_region, make_row
from factories import make_dataset as finish_dataset
from PIL import ExifTags, Image, ImageColor
from running_service import Running, make_settings, run_app
from test_datasets_api import registered

from fo1_data.corpus.decoding import decode_image
from fo1_data.corpus.frames import orient_boxes
from fo1_data.corpus.images import InputLimits, decode_rgb, image_id_of
from fo1_data.corpus.rendering import Rendering
from schemas.images import EncodedImage, ImageRow
from services.security.signing import DAY_S, UrlSigner

STORED_WH = (96, 64)
BOX_STORED = (8.0, 16.0, 40.0, 56.0)


def with_orientation(orientation: int, form: str) -> bytes:
    """A picture with one coloured box, whose EXIF says `orientation`."""
    image = make_image(orientation, *STORED_WH, boxes=[BOX_STORED])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    image.save(
        buffer, format=form, exif=exif, **({"quality": 95, "subsampling": 0} if form == "JPEG" else {})
    )
    return buffer.getvalue()


def row_of(data: bytes, path: Path | None, boxes: Sequence[tuple[float, ...]]) -> ImageRow:
    """A row of the bytes: embedded, or in a file at `path`."""
    decoded = decode_rgb(data, InputLimits())
    if path is not None:
        path.write_bytes(data)
    uri = str(path) if path else "memory://image"
    base = make_row(0, num_regions=0)
    return base.model_copy(
        update={
            "image_id": image_id_of(data),
            "uri": uri,
            "uris": [uri],
            "image": EncodedImage(bytes=None if path else data, path=uri),
            "width": decoded.width,
            "height": decoded.height,
            "orientation": decoded.orientation,
            "regions": [make_region(image_id_of(data), i, box) for i, box in enumerate(boxes)],  # type: ignore[arg-type]
        }
    )


async def urls(service: Running, folder: Path) -> list[str]:
    """The signed links of a dataset's images, as paths."""
    dataset = await registered(service, folder)
    answer = await service.client.get(f"/v1/datasets/{dataset['id']}/samples", params={"limit": 100})
    return [entry["image_url"].removeprefix("http://service.test") for entry in answer.json()["items"]]


def is_coloured(pixels: np.ndarray, box: Sequence[float]) -> bool:
    """Whether the inside of a box has the drawn box's colour, and a ring around it has not."""
    red = np.array(ImageColor.getrgb(COLOURS[0]))
    x0, y0, x1, y1 = (round(value) for value in box)
    near = np.abs(pixels.astype(int) - red).max(axis=2) < 60
    inside = near[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2]
    outside = near.copy()
    outside[max(0, y0 - 2) : y1 + 2, max(0, x0 - 2) : x1 + 2] = False
    return bool(inside.all() and not outside.any())


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF"])
async def test_what_is_drawn_is_what_was_meant_in_all_eight_orientations(
    tmp_path: Path, home: Path, form: str
) -> None:
    rows = []
    for orientation in range(1, 9):
        data = with_orientation(orientation, form)
        stored = np.array([BOX_STORED], dtype=np.float32)
        box = orient_boxes(stored, STORED_WH, orientation)[0].tolist()
        rows.append(row_of(data, tmp_path / f"{orientation}.img", [tuple(box)]))
    finish_dataset(tmp_path / "ds", rows)
    async with run_app(make_settings(home)) as service:
        dataset = await registered(service, tmp_path / "ds")
        samples = (await service.client.get(f"/v1/datasets/{dataset['id']}/samples")).json()["items"]
        assert {sample["orientation"] for sample in samples} == set(range(1, 9))
        for sample in samples:
            path = sample["image_url"].removeprefix("http://service.test")
            answer = await service.client.get(path, headers={"Authorization": ""})
            assert answer.status_code == 200, answer.text
            assert answer.headers["content-type"] in ("image/jpeg", "image/png")
            shown = Image.open(io.BytesIO(answer.content))
            # A browser turns by EXIF what still has it: nothing may be left to turn.
            assert shown.getexif().get(ExifTags.Base.Orientation, 1) == 1
            assert shown.size == (sample["width"], sample["height"])
            box = sample["regions"][0]["box_xyxy"]
            assert is_coloured(np.asarray(shown.convert("RGB")), box), sample["orientation"]
            small = await service.client.get(f"{path}&width=320")
            assert Image.open(io.BytesIO(small.content)).size == shown.size


async def test_a_raster_is_shown_in_the_colours_that_its_row_records(tmp_path: Path, home: Path) -> None:
    """A browser cannot show 16 bits, and another dataset may show the same file in other colours."""
    pytest.importorskip("rasterio")
    from raster_samples import write_raster

    bands = np.random.default_rng(2).integers(0, 3000, (4, 40, 60)).astype("uint16")
    data = write_raster(tmp_path / "a.tif", bands, nodata=0)
    shown = {}
    for name, rendering in (("near", Rendering((4, 3, 2))), ("true", Rendering((3, 2, 1), "5,50"))):
        image = decode_image(data, InputLimits(), rendering)
        row = make_row(0, num_regions=0).model_copy(
            update={
                "image_id": image.image_id, "uri": str(tmp_path / "a.tif"), "uris": [str(tmp_path / "a.tif")],
                "image": EncodedImage(), "width": 60, "height": 40, "meta": json.dumps(image.meta),
            }
        )  # fmt: skip
        finish_dataset(tmp_path / name, [row])
        shown[name] = np.asarray(image.rgb)
    async with run_app(make_settings(home)) as service:
        for name, pixels in shown.items():
            [url] = await urls(service, tmp_path / name)
            answer = await service.client.get(url)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png"), answer.text
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), pixels)
            small = await service.client.get(f"{url}&width=320")
            assert small.headers["content-type"] == "image/jpeg"


async def test_upright_images_are_handed_out_as_they_are_and_in_parts(tmp_path: Path, home: Path) -> None:
    data = encode(make_image(3, 800, 600))
    finish_dataset(tmp_path / "ds", [row_of(data, None, [])])
    async with run_app(make_settings(home)) as service:
        [url] = await urls(service, tmp_path / "ds")
        whole = await service.client.get(url)
        assert whole.content == data
        assert whole.headers["accept-ranges"] == "bytes"
        assert "default-src 'none'" in whole.headers["content-security-policy"]
        for header, part in (
            ("bytes=0-99", data[:100]),
            ("bytes=100-", data[100:]),
            ("bytes=-50", data[-50:]),
            (f"bytes=10-{len(data) * 9}", data[10:]),
        ):
            answer = await service.client.get(url, headers={"Range": header})
            assert (answer.status_code, answer.content) == (206, part), header
            assert answer.headers["content-range"].endswith(f"/{len(data)}")
        for header in (f"bytes={len(data)}-", "bytes=20-10", "bytes=-0"):
            answer = await service.client.get(url, headers={"Range": header})
            assert answer.status_code == 416, header
            assert answer.headers["content-range"] == f"bytes */{len(data)}"
        etag = whole.headers["etag"]
        assert (await service.client.get(url, headers={"If-None-Match": etag})).status_code == 304
        stale = await service.client.get(url, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
        assert (stale.status_code, stale.content) == (200, data)
        head = await service.client.head(url)
        assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(data)), b"")
        small = await service.client.get(f"{url}&width=320")
        assert Image.open(io.BytesIO(small.content)).size == (320, 240)


async def test_links_end_are_ours_alone_and_can_be_revoked(
    tmp_path: Path, home: Path, database_url: str | None
) -> None:
    data = encode(make_image(4))
    other = encode(make_image(5))
    rows = [row_of(data, tmp_path / "a.png", []), row_of(other, tmp_path / "b.png", [])]
    finish_dataset(tmp_path / "ds", rows)
    settings = make_settings(home, database_url=database_url, label_studio_url="http://label.test:8080/")
    async with run_app(settings) as service:
        addresses = await urls(service, tmp_path / "ds")
        url = next(address for address in addresses if image_id_of(data) in address)
        without_key = {"Authorization": ""}
        assert (await service.client.get(url, headers=without_key)).status_code == 200
        forged = url[:-1] + ("0" if url[-1] != "0" else "1")
        moved = url.replace(image_id_of(data), image_id_of(other))
        for wrong in (
            forged,
            moved,
            url.replace("expires=", "expires=9"),
            url.replace("signature=", "signature=é"),
        ):
            assert (await service.client.get(wrong, headers=without_key)).status_code == 403, wrong
        bare = url.partition("?")[0]
        assert (await service.client.get(bare, headers=without_key)).status_code == 401
        assert (await service.client.get(bare)).status_code == 200

        for origin, allowed in (("http://label.test:8080", True), ("http://evil.test", False)):
            answer = await service.client.get(url, headers={**without_key, "Origin": origin})
            assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)
            assert "Origin" in answer.headers["vary"]

        dataset_id = (await service.client.get("/v1/datasets")).json()["items"][0]["id"]
        await service.client.post(f"/v1/datasets/{dataset_id}/revoke-image-urls")
        assert (await service.client.get(url, headers=without_key)).status_code == 403
        renewed = next(
            address for address in await urls(service, tmp_path / "ds") if image_id_of(data) in address
        )
        assert (await service.client.get(renewed, headers=without_key)).status_code == 200


async def test_images_outside_the_roots_and_changed_ones_are_not_shown(tmp_path: Path, home: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    away, changed = encode(make_image(6)), encode(make_image(7))
    rows = [row_of(away, outside / "a.png", []), row_of(changed, inside / "b.png", [])]
    hidden = encode(make_image(10))
    (outside / "c.png").write_bytes(hidden)
    (inside / "x::").mkdir()
    uri = f"{inside}/x::/../../outside/c.png"
    rows.append(
        row_of(hidden, None, []).model_copy(
            update={"uri": uri, "uris": [uri], "image": EncodedImage(path=uri)}
        )
    )
    finish_dataset(inside / "ds", rows)
    (inside / "b.png").write_bytes(encode(make_image(8)))
    async with run_app(make_settings(home, storage_roots=[str(inside)])) as service:
        answers = [await service.client.get(url) for url in await urls(service, inside / "ds")]
        assert sorted(answer.status_code for answer in answers) == [403, 403, 404]
        assert all(str(outside) not in answer.text for answer in answers)


async def test_a_dataset_shows_no_other_picture_under_the_id_of_an_image(tmp_path: Path, home: Path) -> None:
    """What a project embeds under the id of another's image would be kept, and shown to both."""
    genuine, other = encode(make_image(6)), encode(make_image(7))
    finish_dataset(tmp_path / "ours", [row_of(genuine, None, [])])
    forged = row_of(other, None, []).model_copy(update={"image_id": image_id_of(genuine)})
    finish_dataset(tmp_path / "theirs", [forged])
    async with run_app(make_settings(home)) as service:
        [ours] = await urls(service, tmp_path / "ours")
        [theirs] = await urls(service, tmp_path / "theirs")
        for suffix in ("", "&width=320", "&view=0,0,32,32"):
            assert not (await service.client.get(theirs + suffix)).is_success, suffix
        shown = await service.client.get(f"{ours}&width=320")
        pixels, is_ours, is_theirs = (
            np.array(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
            for data in (shown.content, genuine, other)
        )
        assert np.abs(pixels - is_ours).mean() < np.abs(pixels - is_theirs).mean() / 1.5


async def test_a_file_that_was_cut_short_since_is_told(tmp_path: Path, home: Path) -> None:
    finish_dataset(tmp_path / "ds", [row_of(encode(make_image(6)), None, [])])
    async with run_app(make_settings(home)) as service:
        [url] = await urls(service, tmp_path / "ds")
        [file] = (tmp_path / "ds" / "data").rglob("*.parquet")
        file.write_bytes(file.read_bytes()[:-5])
        for suffix in ("", "&width=320", "&view=0,0,32,32"):
            answer = await service.client.get(url + suffix)
            assert answer.status_code in (403, 404), (suffix, answer.text)


@pytest.fixture
def two_servers() -> Iterator[tuple[str, str, list[str]]]:
    """A server that redirects to another one, which holds an image; and who was asked for what."""
    asked: list[str] = []
    image = encode(make_image(9))

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.server.server_address[0]!s}{self.path}")
            moved = self.path == "/moved"
            self.send_response(302 if moved else 200)
            self.send_header("Location", f"{target}/image.png")
            self.send_header("Content-Length", "0" if moved else str(len(image)))
            self.end_headers()
            self.wfile.write(b"" if moved else image)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with (
        ThreadingHTTPServer(("127.0.0.2", 0), Answering) as outer,
        ThreadingHTTPServer(("127.0.0.1", 0), Answering) as inner,
    ):
        target = f"http://127.0.0.1:{inner.server_port}"
        for server in (outer, inner):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.2:{outer.server_port}/moved", f"{target}/image.png", asked
        outer.shutdown()
        inner.shutdown()


@pytest.mark.parametrize("allowed", [False, True])
async def test_the_service_itself_fetches_from_public_addresses_alone(
    tmp_path: Path,
    home: Path,
    two_servers: tuple[str, str, list[str]],
    allowed: bool,
) -> None:
    """A row may name any web address: none leads to this machine's own, by no way (`test_reach.py`)."""
    moved, private, asked = two_servers
    data = encode(make_image(9))
    row = row_of(data, None, [])
    for name, uri in (("direct", private), ("redirected", moved)):
        away = row.model_copy(update={"uri": uri, "uris": [uri], "image": EncodedImage(path=uri)})
        finish_dataset(tmp_path / name, [away])
    async with run_app(make_settings(home, allow_private_addresses=allowed)) as service:
        for name in ("direct", "redirected"):
            [url] = await urls(service, tmp_path / name)
            answer = await service.client.get(url)
            assert answer.status_code == (200 if allowed else 404), answer.text
    assert ("127.0.0.1/image.png" in asked) == allowed
    assert bool(asked) == allowed


async def test_a_bomb_is_refused_from_its_header(tmp_path: Path, home: Path) -> None:
    data = encode(Image.new("RGB", (3000, 3000)))
    finish_dataset(tmp_path / "ds", [row_of(data, None, [])])
    async with run_app(make_settings(home, max_image_pixels=1_000_000)) as service:
        [url] = await urls(service, tmp_path / "ds")
        answer = await service.client.get(f"{url}&width=320")
        assert answer.status_code == 422
        assert "max_pixels" in answer.json()["detail"]


def test_a_link_lasts_its_days_and_not_longer() -> None:
    signer = UrlSigner(b"secret", "http://service.test", 90)
    now_s = 1_800_000_000.0
    query = dict(
        part.split("=") for part in signer.url("a" * 64, "grant_1", now_s).partition("?")[2].split("&")
    )

    def valid(after_days: float) -> bool:
        when = now_s + after_days * DAY_S
        return signer.is_valid("a" * 64, "grant_1", int(query["expires"]), query["signature"], when)

    assert valid(0)
    assert valid(90)
    assert not valid(91.001)
    assert signer.url("a" * 64, "grant_1", now_s) == signer.url("a" * 64, "grant_1", now_s + 60)
    assert not UrlSigner(b"other", "http://service.test", 90).is_valid(
        "a" * 64, "grant_1", int(query["expires"]), query["signature"], now_s
    )
