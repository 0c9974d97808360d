"""Where a dataset or a trained checkpoint comes from: the chain of manifests, back to the source images.

The `lineage.json` of a checkpoint lists the dataset versions it was trained on, each with the hash of its
manifest, and the lineage of the model that training began with. A manifest names its parent by name,
version and hash, and the address where the parent lay (`parent_address`). A version whose folder is gone
is listed as missing; its hash still identifies it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fo1_data.corpus.readers import load_listing
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
    """The inputs of a training run, for the `lineage.json` of its checkpoint: dataset versions and corpora.

    `model_folder`: the folder of the model that training begins with, which may have a lineage of its own.
    """
    document: dict[str, Any] = {"model": model, "model_sha256": model_sha256}
    document["inputs"] = [_input(address) for address in addresses]
    before = open_store(str(model_folder)) if model_folder is not None else None
    if before is not None and before.exists(LINEAGE):
        document["model_lineage"] = read_json(before, LINEAGE)
    return document


def write_lineage(folder: Path, document: dict[str, Any], *, resumed: bool = False) -> None:
    """Write the inputs of a training run beside its checkpoint; a resumed run adds to those it had.

    Raises ConfigError if a resumed run began with another model or other chats, DatasetError if the inputs it
    had are damaged.
    """
    store = open_store(str(folder))
    try:
        earlier = read_json(store, LINEAGE) if resumed and store.exists(LINEAGE) else None
    except DatasetError as error:
        raise DatasetError(f"{error}; delete it and run again: it is written anew, of this command") from None
    if earlier is not None:
        if earlier.get("model_sha256") != document["model_sha256"]:
            raise ConfigError(
                f"{folder} was begun from {earlier.get('model')}: go on with it, or name a new --out"
            )
        if (chats := earlier.get("chats")) != document.get("chats"):
            begun = f"other chats in {chats['address']}" if chats else "no chats"
            raise ConfigError(f"{folder} was begun with {begun}: go on so, or name a new --out")
        earlier_inputs = earlier.get("inputs", [])
        document = {
            **earlier,
            "inputs": [
                *earlier_inputs,
                *(entry for entry in document["inputs"] if entry not in earlier_inputs),
            ],
        }
    store.write_bytes(LINEAGE, dump_json(document))


def trace(address: str, *, with_images: bool = False) -> dict[str, Any]:
    """The versions behind a dataset or checkpoint and the number of source images.

    `with_images`: also list the images. Raises DatasetError if `address` is neither.
    """
    store = open_store(address)
    if store.exists(LINEAGE):
        document = {"checkpoint": address, **_of_training(read_json(store, LINEAGE))}
        chains = list(_chains(document))
    elif store.exists(MANIFEST):
        chains = [_chain_of_dataset(address)]
        document = {"dataset": address, "inputs": chains}
    else:
        raise DatasetError(f"{address} is neither a dataset nor a checkpoint that `fo1 train` has written")
    images = _distinct(list(_images(chains)))
    document["num_images"] = len(images)
    if with_images:
        document["images"] = images
    return document


def _input(source: str) -> dict[str, Any]:
    address = normalise(source)
    manifest = find_manifest(open_store(address)) if open_store(address).exists(MANIFEST) else None
    if manifest is None:
        return {"address": address, "corpus": True}
    return {"address": address, **_version(manifest)}


def _version(manifest: Manifest) -> dict[str, Any]:
    digest = lineage(manifest)
    return {"version": digest["parent"], "manifest_sha256": digest["parent_sha256"]}


def _of_training(document: dict[str, Any]) -> dict[str, Any]:
    """A `lineage.json` with the versions behind each input and behind the model that training began with."""
    lineages: dict[str, Any] = {name: document.get(name) for name in ("model", "model_sha256")}
    lineages["inputs"] = [_chain_of_input(entry) for entry in document.get("inputs", [])]
    if "model_lineage" in document:
        lineages["model_lineage"] = _of_training(document["model_lineage"])
    return lineages


def _chains(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from document["inputs"]
    if "model_lineage" in document:
        yield from _chains(document["model_lineage"])


def _chain_of_input(entry: dict[str, Any]) -> dict[str, Any]:
    if entry.get("corpus"):
        return {"address": entry["address"], "corpus": True, "versions": []}
    return _chain_of_dataset(entry["address"], entry.get("manifest_sha256"))


def _chain_of_dataset(address: str, expected_sha256: str | None = None) -> dict[str, Any]:
    versions: list[dict[str, Any]] = []
    folder: str | None = address
    while folder is not None:
        manifest = _find(folder)
        if manifest is None or (expected_sha256 and _version(manifest)["manifest_sha256"] != expected_sha256):
            reason = "is gone" if manifest is None else "holds another version now"
            versions.append({"address": folder, "manifest_sha256": expected_sha256, "missing": reason})
            break
        versions.append(
            {
                "address": folder,
                **_version(manifest),
                "model": manifest.model.model_dump() if manifest.model else None,
                "corpus": manifest.config.get("corpus"),
                "step": manifest.step,
                "images": manifest.counts.images,
            }
        )
        folder, expected_sha256 = _parent_address(manifest), manifest.parent_sha256
        if folder is None and manifest.parent is not None:
            parent = {"version": manifest.parent, "manifest_sha256": expected_sha256}
            versions.append({**parent, "missing": "its address was not kept"})
    return {"address": address, "versions": versions}


def _parent_address(manifest: Manifest) -> str | None:
    """The address of the parent; of a labelled dataset that is its `--parent`."""
    parent_address = manifest.parent_address if manifest.step is not None else manifest.config.get("parent")
    return parent_address if isinstance(parent_address, str) and manifest.parent is not None else None


def _find(address: str) -> Manifest | None:
    try:
        return find_manifest(open_store(address))
    except (DatasetError, StorageError, OSError):
        return None


def _images(chains: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The source images of the newest version of each chain, with all their addresses."""
    for chain in chains:
        if chain.get("corpus") is True:
            yield from _corpus_images(chain["address"])
        elif chain["versions"] and "missing" not in chain["versions"][0]:
            dataset = open_dataset(chain["address"])
            for record in column_values(dataset.store, dataset.manifest, ["image_id", "uri", "uris"]):
                yield {"image_id": record["image_id"], "uri": record["uri"], "uris": record["uris"]}


def _distinct(images: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each image once: by its id, and images of corpora, which have no id, by their address."""
    by_id = {image["image_id"]: image for image in images if image["image_id"] is not None}
    addresses = {uri for image in images if image["image_id"] is not None for uri in image["uris"]}
    by_address = {image["uri"]: image for image in images if image["image_id"] is None}
    return [*by_id.values(), *(image for uri, image in by_address.items() if uri not in addresses)]


def _corpus_images(address: str) -> Iterator[dict[str, Any]]:
    for entry in load_listing(address).entries:
        yield {"image_id": None, "uri": entry.name, "uris": [entry.name]}
