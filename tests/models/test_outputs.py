"""Every network, on every target that this machine runs, against ONNX Runtime."""

from __future__ import annotations

import pytest
from catalogue import NETWORKS
from reference import assert_matches

import nnc

TARGETS = ("native", "avx2", "generic")


@pytest.mark.parametrize(
    "target", [pytest.param(name, marks=pytest.mark.isa(name)) for name in TARGETS]
)
@pytest.mark.parametrize("name", NETWORKS)
def test_network_matches_onnx_runtime(name: str, target: str) -> None:
    network = NETWORKS[name]
    with nnc.compile(network.path, target=target) as model:
        assert_matches(name, model.run(None, network.inputs()))


@pytest.mark.parametrize("name", [n for n, m in NETWORKS.items() if len(m.sizes) > 1])
def test_one_compile_serves_all_sizes(name: str) -> None:
    network = NETWORKS[name]
    with nnc.compile(network.path) as model:
        generated = model.info.code_generations
        for sizes in network.sizes:
            outputs = model.run(None, network.inputs(**sizes))
            assert_matches(name, outputs, **sizes)
        assert model.info.code_generations == generated
        assert model.info.shapes_planned == len(network.sizes)
