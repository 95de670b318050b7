"""Compiled models under use: many threads, many compilations, new shapes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
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


CYCLES = """
import gc, sys
import psutil
import nnc
from catalogue import NETWORKS

network = NETWORKS["light_squeezenet"]
module, feeds = nnc.convert(network.path), network.inputs()
for _ in range(int(sys.argv[1])):
    model = nnc.compile(module)
    model.run(None, feeds)
    del model
    gc.collect()
    print(psutil.Process().memory_info().rss)
"""


def test_compiling_running_and_dropping_keeps_memory_level() -> None:
    # In a process of its own: what other tests left behind is freed at odd times.
    result = subprocess.run(
        [sys.executable, "-c", CYCLES, "60"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    used = [int(line) for line in result.stdout.split()][10:]
    assert len(used) == 50
    assert max(used[-10:]) - min(used[:10]) < MIB
