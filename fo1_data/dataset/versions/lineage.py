"""Where a dataset or a trained checkpoint comes from: the chain of manifests, back to source images.

A checkpoint says in `lineage.json` which versions it was trained on, each with the digest of its
manifest, and what the model that it began with was trained on. A manifest names its parent by name,
version and digest; the parent's folder is looked for where the training or the run left its address
(`parent_address`). A link whose folder is gone is told as such: its digest still says which version it was.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fo1_data.dataset.layout import MANIFEST
from fo1_data.dataset.manifest import dump_json, find_manifest, lineage, read_json
from fo1_data.dataset.reader import column_values, open_dataset
from fo1_data.errors import ConfigError, DatasetError, StorageError
from fo1_data.storage.addresses import normalise
from fo1_data.storage.store import open_store
from schemas.dataset import Manifest

LINEAGE = "lineage.json"


def describe_inputs(
    addresses: list[str], model: str, model_sha256: str, model_folder: Path | None = None
) -> dict[str, Any]:
    """What a training run consumed, for its checkpoint's `lineage.json`: versions by digest, and corpora.

    `model_folder`: where the model that it begins with lies, for what that one was trained on.
    """
    told: dict[str, Any] = {"model": model, "model_sha256": model_sha256}
    told["inputs"] = [_input(one) for one in addresses]
    before = open_store(str(model_folder)) if model_folder is not None else None
    if before is not None and before.exists(LINEAGE):
        told["model_lineage"] = read_json(before, LINEAGE)
    return told


def write_lineage(folder: Path, document: dict[str, Any], *, goes_on: bool = False) -> None:
    """Write what a training run consumes beside its checkpoint; one that `goes_on` adds to what it had.

    Raises ConfigError where it would go on from another model than it began with.
    """
    store = open_store(str(folder))
    earlier = read_json(store, LINEAGE) if goes_on and store.exists(LINEAGE) else None
    if earlier is not None:
        if earlier.get("model_sha256") != document["model_sha256"]:
            raise ConfigError(
                f"{folder} was begun from {earlier.get('model')}: go on with it, or name a new --out"
            )
        known = earlier.get("inputs", [])
        document = {**earlier, "inputs": [*known, *(one for one in document["inputs"] if one not in known)]}
    store.write_bytes(LINEAGE, dump_json(document))


def trace(address: str, *, with_images: bool = False) -> dict[str, Any]:
    """The whole chain behind a dataset or checkpoint, and how many source images; each by name if asked.

    Raises DatasetError where `address` is neither.
    """
    store = open_store(address)
    if store.exists(LINEAGE):
        found = {"checkpoint": address, **_of_training(read_json(store, LINEAGE))}
        chains = list(_chains(found))
    elif store.exists(MANIFEST):
        chains = [_chain_of_dataset(address)]
        found = {"dataset": address, "inputs": chains}
    else:
        raise DatasetError(f"{address} is neither a dataset nor a checkpoint that `fo1 train` has written")
    images = _distinct(list(_images(chains)))
    found["num_images"] = len(images)
    if with_images:
        found["images"] = images
    return found


def _input(given: str) -> dict[str, Any]:
    address = normalise(given)
    manifest = find_manifest(open_store(address)) if open_store(address).exists(MANIFEST) else None
    if manifest is None:
        return {"address": address, "corpus": True}
    return {"address": address, **_version(manifest)}


def _version(manifest: Manifest) -> dict[str, Any]:
    digest = lineage(manifest)
    return {"version": digest["parent"], "manifest_sha256": digest["parent_sha256"]}


def _of_training(document: dict[str, Any]) -> dict[str, Any]:
    """A `lineage.json` with the versions behind each input, and those behind the model it began with."""
    found: dict[str, Any] = {name: document.get(name) for name in ("model", "model_sha256")}
    found["inputs"] = [_chain_of_input(one) for one in document.get("inputs", [])]
    if "model_lineage" in document:
        found["model_lineage"] = _of_training(document["model_lineage"])
    return found


def _chains(told: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from told["inputs"]
    if "model_lineage" in told:
        yield from _chains(told["model_lineage"])


def _chain_of_input(given: dict[str, Any]) -> dict[str, Any]:
    if given.get("corpus"):
        return {"address": given["address"], "corpus": True, "versions": []}
    return _chain_of_dataset(given["address"], given.get("manifest_sha256"))


def _chain_of_dataset(address: str, wanted_sha256: str | None = None) -> dict[str, Any]:
    versions: list[dict[str, Any]] = []
    where: str | None = address
    while where is not None:
        manifest = _find(where)
        if manifest is None or (wanted_sha256 and _version(manifest)["manifest_sha256"] != wanted_sha256):
            why = "is gone" if manifest is None else "holds another version now"
            versions.append({"address": where, "manifest_sha256": wanted_sha256, "missing": why})
            break
        versions.append(
            {
                "address": where,
                **_version(manifest),
                "model": manifest.model.model_dump() if manifest.model else None,
                "corpus": manifest.config.get("corpus"),
                "step": manifest.step,
                "images": manifest.counts.images,
            }
        )
        where, wanted_sha256 = _parent_address(manifest), manifest.parent_sha256
        if where is None and manifest.parent is not None:
            gone = {"version": manifest.parent, "manifest_sha256": wanted_sha256}
            versions.append({**gone, "missing": "its address was not kept"})
    return {"address": address, "versions": versions}


def _parent_address(manifest: Manifest) -> str | None:
    """Where the parent lay; of a labelled dataset that is its `--parent`."""
    kept = manifest.parent_address if manifest.step is not None else manifest.config.get("parent")
    return kept if isinstance(kept, str) and manifest.parent is not None else None


def _find(address: str) -> Manifest | None:
    try:
        return find_manifest(open_store(address))
    except (DatasetError, StorageError, OSError):
        return None


def _images(chains: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The source images of each chain's newest version, with every address where each was found."""
    for chain in chains:
        if chain.get("corpus") is True:
            yield from _corpus_images(chain["address"])
        elif chain["versions"] and "missing" not in chain["versions"][0]:
            dataset = open_dataset(chain["address"])
            for record in column_values(dataset.store, dataset.manifest, ["image_id", "uri", "uris"]):
                yield {"image_id": record["image_id"], "uri": record["uri"], "uris": record["uris"]}


def _distinct(images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each image once: by its id, and those of corpora, which have none, by the address where they lie."""
    known = {image["image_id"]: image for image in images if image["image_id"] is not None}
    addresses = {uri for image in images if image["image_id"] is not None for uri in image["uris"]}
    others = {image["uri"]: image for image in images if image["image_id"] is None}
    return [*known.values(), *(image for uri, image in others.items() if uri not in addresses)]


def _corpus_images(address: str) -> Iterator[dict[str, Any]]:
    from fo1_data.corpus.readers import read_corpus
    from schemas.corpus import CorpusImage

    for entry in read_corpus(address):
        if isinstance(entry, CorpusImage):
            yield {"image_id": None, "uri": entry.name, "uris": [entry.name]}
