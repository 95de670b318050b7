"""Small networks compiled for NEON, executed under emulation."""

from __future__ import annotations

import pytest
from catalogue import NETWORKS
from neon import run_under_qemu
from reference import assert_matches


@pytest.mark.isa("neon")
@pytest.mark.parametrize("name", ["ppocr_cls", "light_squeezenet", "basic_pitch"])
def test_network_on_neon_matches_onnx_runtime(name: str) -> None:
    network = NETWORKS[name]
    assert_matches(name, run_under_qemu(network.path, network.inputs()))
