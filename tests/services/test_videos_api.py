"""Videos over HTTP: frame by frame as the dataset counts them, by signed links that can be revoked."""

import asyncio
import hashlib
import io
import os
import re
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("av")

import av
from clip_samples import HEIGHT, WIDTH, number_shown, numbered_picture, write_clip, x264
from factories import make_shard
from made_up_tracks import make_clip
from PIL import Image
from running_service import Running, make_settings, run_app
from test_datasets_api import registered

from fo1_data.cli.review import review_text
from fo1_data.corpus.tracked_videos import video_id_of
from fo1_data.dataset.writer import open_run
from schemas.corpus import CorpusImage
from services.datasets import videos as shelf

NO_KEY = {"Authorization": ""}


def write_dataset(out: Path, *places: Path, **fields: Any) -> list[str]:
    """A dataset with a made-up track of each video; the videos' ids, of their bytes as they are."""
    run = open_run(str(out), {"model_sha256": "aa"}, {})
    ids = []
    for number, place in enumerate(places):
        ids.append(fields.pop("video_id", None) or video_id_of(CorpusImage(uri=str(place))))
        clip = make_clip(number, uri=str(place), video_id=ids[-1], **fields)
        run.write_shard(make_shard(number), clip.rows, [], "t", tracks=clip.tracks, videos=[clip.video])
    run.seal("made-up")
    return ids


async def links(service: Running, folder: Path, ids: list[str]) -> list[str]:
    """Signed links of the videos, as paths, under the grant of the dataset's images."""
    dataset = await registered(service, folder)
    samples = (await service.client.get(f"/v1/datasets/{dataset['id']}/samples")).json()["items"]
    found = re.search("grant=([^&]+)", samples[0]["image_url"])
    assert found is not None
    urls = [service.context.signer.video_url(name, found[1]) for name in ids]
    return [url.removeprefix("http://service.test") for url in urls]


def numbers_in(data: bytes) -> list[int]:
    """The numbers that the frames of an MP4 file show, as a browser shows them; of a copy: H.264."""
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        return [number_shown(frame.to_image()) for frame in container.decode(stream)]


async def test_a_file_that_browsers_count_so_is_handed_out_as_it_is_and_in_parts(
    tmp_path: Path, home: Path
) -> None:
    path = write_clip(tmp_path / "a.mp4", 30, options=x264(10, 2))
    data = path.read_bytes()
    ids = write_dataset(tmp_path / "ds", path)
    async with run_app(make_settings(home)) as service:
        [url] = await links(service, tmp_path / "ds", ids)
        whole = await service.client.get(url, headers=NO_KEY)
        assert (whole.status_code, whole.content) == (200, data)
        assert (whole.headers["accept-ranges"], whole.headers["content-type"]) == ("bytes", "video/mp4")
        assert "default-src 'none'" in whole.headers["content-security-policy"]
        for header, part in (
            ("bytes=0-99", data[:100]),
            ("bytes=100-", data[100:]),
            ("bytes=-50", data[-50:]),
            (f"bytes=10-{len(data) * 9}", data[10:]),
        ):
            answer = await service.client.get(url, headers={**NO_KEY, "Range": header})
            assert (answer.status_code, answer.content) == (206, part), header
            assert answer.headers["content-range"].endswith(f"/{len(data)}")
        answer = await service.client.get(url, headers={**NO_KEY, "Range": f"bytes={len(data)}-"})
        assert answer.status_code == 416
        head = await service.client.head(url, headers=NO_KEY)
        assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(data)), b"")
    assert not [*home.glob("cache/videos/*/*")]


async def test_links_are_ours_alone_and_can_be_revoked(tmp_path: Path, home: Path) -> None:
    paths = [write_clip(tmp_path / f"{name}.mp4", num) for name, num in (("a", 4), ("b", 5))]
    ids = write_dataset(tmp_path / "ds", *paths)
    settings = make_settings(home, label_studio_url="http://label.test:8080/")
    async with run_app(settings) as service:
        url, other = await links(service, tmp_path / "ds", ids)
        forged = url[:-1] + ("0" if url[-1] != "0" else "1")
        for wrong in (
            forged,
            other.replace(ids[1], ids[0]),
            url.replace("expires=", "expires=9"),
            url.replace("grant=", "grant=x"),
        ):
            assert (await service.client.get(wrong)).status_code == 403, wrong
        bare = url.partition("?")[0]
        assert (await service.client.get(bare, headers={"Authorization": ""})).status_code == 401
        dataset_id = (await service.client.get("/v1/datasets")).json()["items"][0]["id"]
        by_key = [await service.client.get(bare, params={"dataset": name}) for name in ("", dataset_id)]
        assert [answer.status_code for answer in by_key] == [404, 200]
        image = url.replace("/v1/videos/", "/v1/images/")
        assert (await service.client.get(image, headers=NO_KEY)).status_code == 404
        for origin, allowed in (("http://label.test:8080", True), ("http://evil.test", False)):
            answer = await service.client.get(url, headers={**NO_KEY, "Origin": origin})
            assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)
        await service.client.post(f"/v1/datasets/{dataset_id}/revoke-image-urls")
        assert (await service.client.get(url)).status_code == 403


async def test_videos_outside_the_roots_and_changed_ones_are_not_shown(tmp_path: Path, home: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    paths = [
        write_clip(outside / "a.mp4", 4),
        write_clip(inside / "b.mp4", 5),
        write_clip(inside / "c.mkv", 6),
        write_clip(inside / "d.mp4", 7),
        inside / "e.mp4",
    ]
    paths[4].write_bytes(b"no video at all")
    ids = write_dataset(inside / "ds", *paths)
    write_clip(paths[1], 8)
    write_clip(paths[2], 8)
    paths[3].unlink()
    async with run_app(make_settings(home, storage_roots=[str(inside)])) as service:
        urls = await links(service, inside / "ds", ids)
        answers = [await service.client.get(url) for url in urls]
        assert [answer.status_code for answer in answers] == [403, 404, 404, 404, 422]
        assert all(str(outside) not in answer.text for answer in answers)
        unknown = await links(service, inside / "ds", [hashlib.sha256(b"other").hexdigest()])
        assert (await service.client.get(unknown[0])).status_code == 404


async def test_a_video_is_not_shown_for_the_one_that_was_in_its_place(tmp_path: Path, home: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", 6, options=x264(10, 2))
    before = write_dataset(tmp_path / "before", path)
    write_clip(path, 9, options=x264(10, 2))
    now = write_dataset(tmp_path / "now", path)
    async with run_app(make_settings(home)) as service:
        [new] = await links(service, tmp_path / "now", now)
        [old] = await links(service, tmp_path / "before", before)
        for _ in range(2):
            assert numbers_in((await service.client.get(new)).content) == list(range(9))
            assert (await service.client.get(old)).status_code == 404


@pytest.mark.parametrize("source", ["rate varies", "on its side", "another codec", "a folder of images"])
async def test_other_videos_are_served_as_copies_with_the_same_frames(
    tmp_path: Path, home: Path, source: str
) -> None:
    path = tmp_path / ("clip.mp4" if source != "rate varies" else "clip.mkv")
    numbers = list(range(9))
    if source == "rate varies":
        stamps = [0, 2, 4, 80, 200, 240, 1000, 1040, 1500]
        write_clip(path, 9, timestamps=stamps, tick_s=Fraction(1, 1000))
    elif source == "on its side":
        write_clip(path, 9, turn=(90, False, False))
    elif source == "another codec":
        write_clip(path, 9, codec="mpeg4")
    else:
        path = tmp_path / "frames"
        path.mkdir()
        for number in numbers:
            Image.fromarray(numbered_picture(number)).save(path / f"{number:03d}.png")
    fields = {}
    if path.is_dir():
        digests = (hashlib.sha256(frame.read_bytes()).digest() for frame in sorted(path.iterdir()))
        fields["video_id"] = hashlib.sha256(b"".join(digests)).hexdigest()
    ids = write_dataset(tmp_path / "ds", path, **fields)
    async with run_app(make_settings(home)) as service:
        [url] = await links(service, tmp_path / "ds", ids)
        answer = await service.client.get(url, headers=NO_KEY)
        assert answer.status_code == 200, answer.text
        again = await service.client.get(url, headers={**NO_KEY, "Range": "bytes=0-9"})
        assert (again.status_code, again.content) == (206, answer.content[:10])
    with av.open(io.BytesIO(answer.content)) as container:
        images = [frame.to_image() for frame in container.decode(video=0)]
        assert container.streams.video[0].frames == 9
    if source == "on its side":
        assert {image.size for image in images} == {(HEIGHT, WIDTH)}
        turned = [image.transpose(Image.Transpose.ROTATE_270) for image in images]
        assert [number_shown(image) for image in turned] == numbers
    else:
        assert numbers_in(answer.content) == numbers


async def test_two_requests_at_once_make_one_copy(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "a.avi", 20, codec="mpeg4")
    ids = write_dataset(tmp_path / "ds", path)
    made = []
    write = shelf.write_browser_copy

    def counted(video: Any, out: Path) -> None:
        made.append(out)
        write(video, out)

    monkeypatch.setattr(shelf, "write_browser_copy", counted)
    async with run_app(make_settings(home)) as service:
        [url] = await links(service, tmp_path / "ds", ids)
        answers = await asyncio.gather(*(service.client.get(url, headers=NO_KEY) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(made) == 1


async def test_copies_that_were_not_used_for_longest_make_room(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write_clip(tmp_path / f"{num}.avi", num, codec="mpeg4") for num in (3, 4, 5)]
    ids = write_dataset(tmp_path / "ds", *paths)
    now = time.time()
    async with run_app(make_settings(home)) as service:
        urls = await links(service, tmp_path / "ds", ids)
        for place in (0, 1):
            assert (await service.client.get(urls[place])).status_code == 200
        for number, name in enumerate(ids[:2]):  # an hour ago, one after the other
            os.utime(home / "cache" / "videos" / name[:2] / f"{name}.mp4", (now - 3600 + number,) * 2)
        assert (await service.client.get(urls[0])).status_code == 200
        sizes = [path.stat().st_size for path in home.glob("cache/videos/*/*.mp4")]
        monkeypatch.setattr(shelf, "CACHE_BYTES", sum(sizes) + max(sizes))
        gone = home / "cache" / "videos" / "ff" / "gone.mp4"  # as one that another process has just deleted
        gone.parent.mkdir(exist_ok=True)
        gone.symlink_to(tmp_path / "nothing")
        assert (await service.client.get(urls[2])).status_code == 200
        assert {path.stem for path in home.glob("cache/videos/*/*")} - {gone.stem} == {ids[0], ids[2]}
        assert numbers_in((await service.client.get(urls[1])).content) == [0, 1, 2, 3]


async def test_what_a_killed_service_left_unfinished_in_its_cache_goes_at_the_next_start(home: Path) -> None:
    cache = home / "cache"
    left = [
        cache / "videos" / "ab" / ".ab12.mp4.0f.part",
        cache / "images" / "cd" / ".0123abcd",
        cache / "curves" / ".x1" / "plan.json",
    ]
    kept = [cache / "images" / "cd" / "cd34-320", cache / "videos" / "ab" / ".just-now.mp4.1e.part"]
    for file in (*left, *kept):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"half")
    for old in (*left, left[2].parent, kept[0]):
        os.utime(old, (1e9, 1e9))
    async with run_app(make_settings(home)):
        assert not any(path.exists() for path in (*left, left[2].parent))
        assert all(path.exists() for path in kept)


async def test_copies_for_a_review_are_made_at_its_push(tmp_path: Path, home: Path) -> None:
    """Before anybody asks for one, and whether or not Label Studio answers."""
    paths = [write_clip(tmp_path / f"{num}.avi", num, codec="mpeg4") for num in (3, 4, 5)]
    ids = write_dataset(tmp_path / "ds", *paths)
    paths[2].unlink()
    settings = make_settings(home, label_studio_url="http://127.0.0.1:9", label_studio_token="t" * 20)
    async with run_app(settings) as service:
        body = {"dataset": str(tmp_path / "ds"), "tracks": True}
        review = (await service.client.post("/v1/reviews", json=body)).raise_for_status().json()
        done = {"total": 3, "ready": 2, "failed": 1}
        async with asyncio.timeout(60):
            while review["videos"] != done:
                await asyncio.sleep(0.02)
                review = (await service.client.get(f"/v1/reviews/{review['id']}")).json()
        assert {path.stem for path in home.glob("cache/videos/*/*")} == set(ids[:2])
        shown = review_text(review)
        assert "videos       2 of 3 ready to play, 1 cannot be shown" in shown
        assert "3 videos with" in shown
