"""The figures of `fo1 bench engine` as a Markdown table, and the aims that a GPU is to meet."""

from collections.abc import Sequence
from typing import Any

_PEERS = {
    "shared_prefix": "`generate` on a shared prefix",
    "left_padded": "`generate`, left-padded",
    "shared_prefix_own_towers": "`generate` on a shared prefix, its own towers",
}
_SHARES = ("encode", "prefill", "decode", "all", "decode_bandwidth")


def engine_table(document: dict[str, Any], engines: Sequence[str]) -> str:
    """The table of a measurement, complete or not. engines: the names of the engine's forms in it."""
    peers, num_kinds = document.get("peers", {}).get("questions_per_s", {}), len(document["kinds"])
    rates = {label: peers[peer] / num_kinds for peer, label in _PEERS.items() if peer in peers}
    shares: dict[str, dict[str, float]] = {}
    if "loop" in document:
        rates = {"plain loop": document["loop"]["regions_per_s"], **rates}
    for name in engines:
        if name in document:
            rates[name.replace("_", " ")] = document[name]["regions_per_s"]
            shares[name.replace("_", " ")] = document[name]["share_of_limits"]
    base = [rates.get("plain loop"), rates.get(_PEERS["shared_prefix"])]
    header = ["way", "regions/s", "times the loop", "times a shared prefix", *_SHARES]
    lines = [_line(header), _line(["---"] * len(header))]
    for way, rate in rates.items():
        times = [f"{rate / other:.2f}" if other else "-" for other in base]
        parts = [shares.get(way, {}).get(part) for part in _SHARES]
        lines.append(_line([way, f"{rate:.3g}", *times, *(f"{p:.1%}" if p else "-" for p in parts)]))
    best = max((rates[way] for way in shares), default=0.0)
    aims = [
        _aim("100 times the loop", best / base[0] if base[0] else None, 100),
        _aim("5 times a shared prefix", best / base[1] if base[1] else None, 5),
        _aim(
            "40 % of the arithmetic limit",
            max((s.get("all", 0.0) for s in shares.values()), default=None),
            0.4,
        ),
    ]
    graphs = [
        f"{name.replace('_', ' ')}: steps not as graphs ({document[name]['eager_reason']})."
        for name in engines
        if name in document and document[name]["eager_reason"]
    ]
    skipped = [f"Not measured: {part} ({reason})." for part, reason in document["skipped"].items()]
    return "\n".join(
        [_described(document), "", *lines, "", f"Aims: {'; '.join(aims)}.", *graphs, *skipped, ""]
    )


def _described(document: dict[str, Any]) -> str:
    limits = document["limits"]
    return (
        f"{document['model']}, {document['dtype']}, {document['device_name']}: {document['images']} images "
        f"of {document['regions']} regions, {', '.join(document['kinds'])}, "
        f"{document['tokens_an_answer']:.1f} tokens an answer. Limits measured: "
        f"{limits['operations_per_s'] / 1e12:.3g} T operations/s, {limits['bytes_per_s'] / 1e9:.3g} GB/s."
    )


def _aim(name: str, reached: float | None, aim: float) -> str:
    if reached is None:
        return f"{name}: not measured"
    return f"{name}: {'met' if reached >= aim else 'not met'} ({reached:.3g})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
