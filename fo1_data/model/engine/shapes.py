"""The sizes of a decoding step, rounded up so that few of them differ.

A CUDA graph holds a step of one size. On a CPU, where a step costs what it holds, all sizes are exact.
"""

from dataclasses import dataclass

_EXTENT = 64
_PREFIX_TOKENS = 128


@dataclass(frozen=True)
class Shapes:
    """is_exact: round nothing."""

    is_exact: bool

    def questions(self, num: int) -> int:
        """The number of slots of a step for so many questions: a power of 2."""
        return num if self.is_exact else _power_of_two(num)

    def slots(self, limit: int) -> int:
        """The most questions in flight whose slots do not exceed the limit."""
        return limit if self.is_exact else 1 << (limit.bit_length() - 1)

    def extent(self, num_tokens: int) -> int:
        """The number of tokens of a tail that a step attends to."""
        return num_tokens if self.is_exact else _multiple(num_tokens, _EXTENT)

    def stack(self, num_prefixes: int, longest: int) -> tuple[int, int]:
        """The number of prefixes of a stack and their padded length."""
        if self.is_exact:
            return num_prefixes, longest
        return _power_of_two(num_prefixes), _multiple(longest, _PREFIX_TOKENS)


def _power_of_two(num: int) -> int:
    return 1 << (num - 1).bit_length()


def _multiple(num: int, step: int) -> int:
    return -(-num // step) * step
