"""An object store lists a thousand keys a page: what lies on later pages is found and cleared."""

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from object_store import ObjectStore

from fo1_data.dataset.done_shards import DoneShards
from fo1_data.dataset.layout import RUN, marker, markers
from fo1_data.storage.store import open_store
from schemas.dataset import Counts
from schemas.shards import ShardImage, ShardMarker

NUM_OTHERS, NUM_SHARDS = 1_190, 20


def marker_of(number: int) -> bytes:
    image = ShardImage(image_id=f"{number // 2:064x}", uris=[f"{number}.png"])
    shard = ShardMarker(
        shard_id=f"{number:016x}", index=number, try_id="t", files=[], images=[image], counts=Counts(images=1)
    )
    return shard.model_dump_json().encode()


def test_markers_on_the_second_page(object_store: ObjectStore) -> None:
    bucket = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for number in range(NUM_OTHERS):
        bucket.put_object(object_store.bucket, f"d/{markers(RUN)}/!{number:05d}.of-another-program", b"")
    for number in range(NUM_SHARDS):
        bucket.put_object(object_store.bucket, f"d/{marker(RUN, f'{number:016x}')}", marker_of(number))
    store = open_store(f"{object_store.url}/d")
    assert len(store.list(markers(RUN))) == NUM_OTHERS + NUM_SHARDS
    done = DoneShards(store, RUN)
    done.update()
    assert list(done) == [f"{number:016x}" for number in range(NUM_SHARDS)]
    assert len(done.repeated_images()) == NUM_SHARDS / 2
    store.delete_folder(markers(RUN))
    assert store.list(RUN) == []
