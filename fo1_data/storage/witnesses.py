"""Whether a process reaches the stores of a corpus at all, by a few files of it: its witnesses.

Each witness is in another store or on another web server, as far as the corpus has them. One that is missing,
or that may not be read, has answered all the same. Where no witness answers, the fault is this host's or the
stores', and says nothing of a file. One dead server among several leaves others that answer.
"""

import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

import httpx

from fo1_data.storage.addresses import file_system, is_web, store_of
from fo1_data.storage.fetch_rejects import final_reject
from fo1_data.storage.reach import OutOfReach, check_place, web_client

NUM_WITNESSES = 8
NUM_LOOKED_AT = 64


def places_looked_at(num_files: int) -> list[int]:
    """Which files of a corpus may be witnesses: the first, the last and some between, evenly apart."""
    most = min(num_files, NUM_LOOKED_AT)
    return sorted({place * (num_files - 1) // max(most - 1, 1) for place in range(most)})


def choose_witnesses(addresses: Sequence[str]) -> tuple[str, ...]:
    """One address for each store, of at most `NUM_WITNESSES` stores; none if a file is local."""
    by_store = {store_of(address): address for address in reversed(addresses)}
    return () if "" in by_store else tuple(by_store.values())[:NUM_WITNESSES]


def any_answers(witnesses: Sequence[str], timeout_s: float) -> bool:
    """Whether one of them answers in that time. They are asked at once. True if there are none."""
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()
    for address in witnesses:
        threading.Thread(
            target=lambda asked: answers.put(_answers(asked, timeout_s)), args=(address,), daemon=True
        ).start()
    deadline_s = time.monotonic() + timeout_s
    with suppress(queue.Empty):
        for _ in witnesses:
            if answers.get(timeout=max(deadline_s - time.monotonic(), 0.0)):
                return True
    return not witnesses


def _answers(address: str, timeout_s: float) -> bool:
    try:
        check_place(address)
        if is_web(address):
            with web_client().stream("GET", address, headers={"Range": "bytes=0-0"}, timeout=timeout_s):
                return True
        files, path = file_system(address, timeout_s)
        files.get_file_info(path)
    except OutOfReach:
        return True
    except Exception as error:  # each store's client has kinds of its own
        is_silence = isinstance(error, (OSError, httpx.TransportError))
        return not is_silence or final_reject(address, error) is not None
    return True
