"""The packer: offsets worked out by hand, and properties over random lifetimes."""

import random
import time
from itertools import combinations

import pytest

from nnc.runtime.arena_packing import ArenaPacker, Packing, aligned


def test_pack_disjoint_lifetimes_share_memory():
    # 0 lives at 0..1, 1 at 2..3: both start at 0; the arena is the larger one.
    assert ArenaPacker([(0, 1), (2, 3)]).pack([128, 64]) == Packing((0, 0), 128, 128)


def test_pack_chain_alternates():
    # Largest first: buffer 1 (256) at 0. Buffer 0 overlaps it (position 1): 0..256 is
    # taken, so 256. Buffer 2 overlaps buffer 1 only: 256 too. At position 1 live are
    # 0 and 1: 384 bytes; at position 2 1 and 2: 320 bytes.
    packing = ArenaPacker([(0, 1), (1, 2), (2, 3)]).pack([128, 256, 64])
    assert packing == Packing((256, 0, 256), 384, 384)


def test_pack_uses_smallest_gap_that_fits():
    # Sizes 512, 256, 192, 128, 64, 64 in this order (equal sizes by position).
    # A (0..9) at 0. B (0..4) overlaps A: 512. C (0..9) overlaps A, B: 768.
    # D (0..4) overlaps all: 960. E (0..9): 1088.
    # F (5..9) overlaps A (0-512), C (768-960) and E (1088-1152), not B and D: the gaps
    # are 512-768 (256 bytes) and 960-1088 (128 bytes). The smaller one: 960.
    lifetimes = [(0, 9), (0, 4), (0, 9), (0, 4), (0, 9), (5, 9)]
    sizes = [512, 256, 192, 128, 64, 64]
    packing = ArenaPacker(lifetimes).pack(sizes)
    assert packing.offsets == (0, 512, 768, 960, 1088, 960)
    assert packing.size == 1152
    assert packing.lower_bound == 1152


def test_pack_aligns_to_64_bytes():
    packing = ArenaPacker([(0, 0), (0, 0), (0, 0)]).pack([1, 65, 0])
    # Largest first: 65 bytes (128) at 0, then 1 byte at 128, and nothing at 0.
    assert packing == Packing((128, 0, 0), 192, 192)


def test_pack_nothing():
    assert ArenaPacker([]).pack([]) == Packing((), 0, 0)


@pytest.mark.parametrize("seed", range(20))
def test_pack_random_lifetimes_never_overlap(seed: int):
    generator = random.Random(seed)
    lifetimes = []
    for _ in range(60):
        first = generator.randrange(50)
        lifetimes.append((first, first + generator.randrange(8)))
    sizes = [generator.choice([0, 1, 64, 100, 4096, 10_000]) for _ in lifetimes]
    packing = ArenaPacker(lifetimes).pack(sizes)
    for a, b in combinations(range(len(sizes)), 2):
        (a0, a1), (b0, b1) = lifetimes[a], lifetimes[b]
        if a0 <= b1 and b0 <= a1:
            end_a = packing.offsets[a] + aligned(sizes[a])
            end_b = packing.offsets[b] + aligned(sizes[b])
            assert end_a <= packing.offsets[b] or end_b <= packing.offsets[a]
    assert all(offset % 64 == 0 for offset in packing.offsets)
    ends = [o + aligned(s) for o, s in zip(packing.offsets, sizes, strict=True)]
    assert packing.lower_bound <= packing.size == max(ends)
    live = [
        sum(
            aligned(s)
            for s, (a, b) in zip(sizes, lifetimes, strict=True)
            if a <= t <= b
        )
        for t in range(60)
    ]
    assert packing.lower_bound == max(live)


def test_pack_tries_other_orders_where_the_largest_first_is_too_large():
    # Largest first: 2 at 0; 5 at 0; 4 at 0; 3 (overlaps 5) at 384; 0 (overlaps 3, 4) at
    # 640 and 1 (overlaps 3, 4, 0) at 832: 960 bytes. But at no time more than 640 live.
    lifetimes = [(4, 5), (4, 7), (0, 0), (3, 4), (5, 6), (2, 3)]
    sizes = [192, 128, 448, 256, 320, 384]
    packing = ArenaPacker(lifetimes).pack(sizes)
    assert packing.size == packing.lower_bound == 640


def test_pack_of_many_buffers_ends_soon():
    generator = random.Random(0)
    lifetimes = [(first, first + generator.randrange(40)) for first in range(2000)]
    sizes = [generator.randrange(1, 1 << 20) for _ in lifetimes]
    started = time.process_time()
    packing = ArenaPacker(lifetimes).pack(sizes)
    assert time.process_time() - started < 2
    assert packing.size < 1.2 * packing.lower_bound
