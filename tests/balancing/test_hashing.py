"""Hash functions: stable across processes, and evenly distributed."""

import subprocess
import sys
from collections import Counter

import pytest

from balance.balancing.hashing import SPACE, key_hash, points


def test_hashes_are_what_they_always_were() -> None:
    # A new version that answers otherwise would move every client's key.
    assert [key_hash(key) for key in (b"", b"a", b"10.0.0.1")] == [0, 537083488, 2041696028]
    assert points(b"backend-1", 3) == [650667946, 3515714758, 1578900565]


def test_hashes_do_not_change_with_python_s_own_seed() -> None:
    code = "from balance.balancing.hashing import *; print(key_hash(b'x'), points(b'y', 2))"
    said = {
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, timeout=50).stdout
        for seed in ("1", "2")
    }
    assert said == {f"{key_hash(b'x')} {points(b'y', 2)}\n".encode()}


KEYS = {
    "addresses": [bytes([10, 0, number >> 8, number & 255]) for number in range(65536)],
    "numbers": [b"user-%d" % number for number in range(65536)],
    "counters": [number.to_bytes(8, "big") for number in range(65536)],
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(
    "bits", [lambda spot: spot >> 26, lambda spot: spot & 63, lambda spot: spot % 65537 % 64], ids=["high", "low", "rest"]
)
def test_keys_that_follow_each_other_are_spread_evenly(kind: str, bits: object) -> None:
    seen = Counter(bits(key_hash(key)) for key in KEYS[kind])  # type: ignore[operator]
    chi_square = sum((seen[bucket] - 1024) ** 2 / 1024 for bucket in range(64))
    assert chi_square < 110  # 63 degrees of freedom: 1 in 5,000 by chance


def test_points_lie_in_the_space_and_more_of_them_begin_with_the_same() -> None:
    many = points(b"a", 100)
    assert len(set(many)) == 100
    assert all(0 <= point < SPACE for point in many)
    for count in (0, 1, 15, 16, 17, 99):
        assert points(b"a", count) == many[:count]
    assert not set(many) & set(points(b"b", 100))
