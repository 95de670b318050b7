"""Compiled models under use: many threads, many compilations, new shapes."""

from __future__ import annotations

import gc
import threading

import numpy as np
import psutil
from catalogue import NETWORKS

import nnc

MIB = 1 << 20


def test_eight_threads_get_the_results_of_one() -> None:
    network = NETWORKS["ppocr_cls"]
    cases = [network.inputs(N=n) for n in (1, 2, 3, 6)]
    failures: list[str] = []
    with nnc.compile(network.path) as model:
        expected = [model.run(None, c)[0] for c in cases]

        def work(first: int) -> None:
            for i in range(200):
                case = (first + i) % len(cases)
                (result,) = model.run(None, cases[case])
                if not np.array_equal(result, expected[case]):
                    failures.append(f"thread {first}, run {i}, case {case}")

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert model.info.code_generations == 1
    assert not failures


def test_compiling_running_and_dropping_keeps_memory_level() -> None:
    network = NETWORKS["light_squeezenet"]
    module = nnc.convert(network.path)
    feeds = network.inputs()
    process = psutil.Process()

    def cycle() -> int:
        model = nnc.compile(module)
        model.run(None, feeds)
        del model
        gc.collect()
        return process.memory_info().rss

    for _ in range(10):
        cycle()
    used = [cycle() for _ in range(50)]
    first, last = np.median(used[:10]), np.median(used[-10:])
    assert last - first < 8 * MIB, f"{(last - first) / MIB:.1f} MiB more"
