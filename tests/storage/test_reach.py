"""What a job may fetch: nothing outside its roots, nothing on a private network."""

import json
from collections.abc import Iterable
from pathlib import Path

import httpx
import pytest
from factories import encode, make_image

from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.readers import load_listing
from fo1_data.errors import CorpusError, InputReject
from fo1_data.storage import reach
from schemas.corpus import CorpusImage

PRIVATE = [
    "127.0.0.1", "10.0.0.8", "172.16.3.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1",
    "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "224.0.0.1", "2002:7f00:1::",
    "fec0::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "::7f00:1", "::ffff:0:10.0.0.8",
]  # fmt: skip


@pytest.fixture
def rooted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with an image in it, an image outside, and a link from the root to the latter."""
    root = tmp_path / "root"
    root.mkdir()
    data = encode(make_image(1))
    (root / "inside.png").write_bytes(data)
    (tmp_path / "outside.png").write_bytes(data)
    (root / "link.png").symlink_to(tmp_path / "outside.png")
    (root / "folder").symlink_to(tmp_path)
    monkeypatch.setenv(reach.ROOTS, json.dumps([str(root), "s3://bucket/here"]))
    return root


def test_files_are_read_within_the_roots_only(rooted: Path) -> None:
    assert read_bytes(CorpusImage(uri=str(rooted / "inside.png")), InputLimits())
    for path in ("link.png", "folder/outside.png", "../outside.png"):
        with pytest.raises(InputReject, match="outside the storage roots") as refused:
            read_bytes(CorpusImage(uri=str(rooted / path)), InputLimits())
        assert not refused.value.replayable


def test_lists_are_read_within_the_roots_only(rooted: Path) -> None:
    (rooted.parent / "list.txt").write_text(str(rooted / "inside.png"))
    with pytest.raises(CorpusError, match="outside the storage roots"):
        load_listing(str(rooted.parent / "list.txt"))


@pytest.mark.parametrize("address", ["s3://bucket/hereafter/x", "s3://other/x", "s3://bucket/here/../x"])
def test_objects_are_read_within_the_roots_only(rooted: Path, address: str) -> None:
    reach.check_place("s3://bucket/here/x")
    with pytest.raises(reach.OutOfReach):
        reach.check_place(address)


def test_without_the_settings_everything_may_be_fetched(tmp_path: Path) -> None:
    reach.check_place(str(tmp_path))
    reach.check_place("s3://anywhere/x")


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused(address: str) -> None:
    with pytest.raises(reach.OutOfReach, match="not on the public internet"):
        reach.public_address("host.test", 80, lambda host, port: [address])
    with pytest.raises(reach.OutOfReach):
        reach.public_address("host.test", 80, lambda host, port: ["93.184.215.14", address])


def test_the_address_that_was_checked_is_the_one_connected_to() -> None:
    """A name that answers differently the second time (DNS rebinding) is resolved once."""
    answers = iter([["93.184.215.14"], ["127.0.0.1"]])
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=b"x")

    def resolve(host: str, port: int) -> Iterable[str]:
        assert (host, port) == ("rebinding.test", 443)
        return next(answers)

    client = httpx.Client(transport=reach.PublicOnly(httpx.MockTransport(answer), resolve))
    assert client.get("https://rebinding.test/a").content == b"x"
    assert (seen[0].url.host, seen[0].headers["host"]) == ("93.184.215.14", "rebinding.test")
    assert seen[0].extensions["sni_hostname"] == "rebinding.test"
    with pytest.raises(reach.OutOfReach):
        client.get("https://rebinding.test/a")


def test_a_redirect_into_a_private_network_is_refused() -> None:
    places = {"public.test": ["93.184.215.14"], "metadata.test": ["169.254.169.254"]}
    moved = httpx.MockTransport(
        lambda request: httpx.Response(302, headers={"location": "http://metadata.test/"})
    )
    client = httpx.Client(
        transport=reach.PublicOnly(moved, lambda host, port: places[host]), follow_redirects=True
    )
    with pytest.raises(reach.OutOfReach, match="metadata"):
        client.get("http://public.test/")


def test_a_job_does_not_fetch_from_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(reach.PUBLIC_ONLY, "1")
    with pytest.raises(InputReject, match="public internet") as refused:
        read_bytes(CorpusImage(uri="http://127.0.0.1:9/image.png"), InputLimits())
    assert refused.value.reason == "forbidden"
