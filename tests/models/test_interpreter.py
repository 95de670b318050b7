"""The reference interpreter runs every network, before and after optimisation."""

from __future__ import annotations

import pytest
from catalogue import NETWORKS
from reference import assert_matches

import nnc

SMALL = {
    "ppocr_det": {"H": 160, "W": 160},
    "bert_base": {"N": 2, "S": 9},
    "gpt2_prompt": {"N": 2, "S": 9},
}
"""Sizes for networks that the interpreter would take long for at full size."""


@pytest.mark.parametrize("name", NETWORKS)
def test_interpreter_agrees_before_and_after_the_nn_passes(name: str) -> None:
    network = NETWORKS[name]
    sizes = SMALL.get(name, {})
    module = nnc.convert(network.path)
    inputs = network.inputs(**sizes)
    assert_matches(name, module.interpret(inputs), **sizes)
    module = module.apply("nnc-nn{target=avx2}")
    assert_matches(name, module.interpret(inputs), **sizes)
