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


SERVICE = """
import sys, threading, time
import numpy as np
import psutil
import nnc
from catalogue import NETWORKS

RUNS, THREADS = int(sys.argv[1]), 8
SIZES = {"ppocr_cls": {}, "silero_vad": {}, "mlp": {}, "minilm_l6": {"S": 16}}
networks = [(NETWORKS[name], sizes) for name, sizes in SIZES.items()]
models = [nnc.compile(n.path, num_threads=2) for n, _ in networks]
feeds = [n.inputs(**sizes) for n, sizes in networks]
alone = [m.run(None, f) for m, f in zip(models, feeds, strict=True)]
wrong = []

def work(first, runs):
    for i in range(first, first + runs):
        which = i % len(models)
        found = models[which].run(None, feeds[which])
        if not all(map(np.array_equal, found, alone[which])):
            wrong.append((first, i))

def serve(runs):
    each = runs // THREADS
    threads = [threading.Thread(target=work, args=(n, each)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

process = psutil.Process()
serve(RUNS // 5)
before = process.memory_info().rss
serve(RUNS)
used = process.memory_info().rss - before
time.sleep(0.2)
start = time.process_time()
time.sleep(0.5)
print(len(wrong), used, time.process_time() - start)
"""


def test_ten_thousand_runs_of_four_models_share_one_pool() -> None:
    result = subprocess.run(
        [sys.executable, "-c", SERVICE, "10000"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert result.returncode == 0, result.stderr
    wrong, used, idle = result.stdout.split()[-3:]
    assert int(wrong) == 0
    assert int(used) < 8 * MIB
    # Nothing spins once the work is done.
    assert float(idle) < 0.05
