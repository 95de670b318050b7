"""After every pass, the text is the module: compiling from it gives the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from catalogue import NETWORKS

import nnc
from nnc import pipelines

TARGET = "avx2"


@pytest.mark.isa(TARGET)
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["ppocr_cls", "basic_pitch", "light_squeezenet"])
def test_compilation_continues_from_the_text_after_every_pass(name: str) -> None:
    network = NETWORKS[name]
    feeds = network.inputs()
    options = pipelines.PipelineOptions(target=TARGET)
    passes = [s.spec for s in pipelines.steps("nnc-default", options)]
    module = nnc.convert(network.path)
    with nnc.compile(module, target=TARGET) as model:
        expected = model.run(None, feeds)
    for done in range(len(passes) + 1):
        text = str(module)
        parsed = nnc.Module.parse(text, {n: module.weights[n] for n in module.weights})
        assert str(parsed) == text, f"after {done} passes"
        rest = pipelines.to_text(passes[done:])
        with nnc.compile(parsed, target=TARGET, pipeline=rest) as model:
            for a, b in zip(model.run(None, feeds), expected, strict=True):
                np.testing.assert_array_equal(a, b, f"after {done} passes")
        if done < len(passes):
            module = module.apply(str(passes[done]))
