"""Networks in f64."""

from __future__ import annotations

import numpy as np
import pytest

import nnc

TEXT = """
  func.func @main(%x: tensor<?x20xf32, #nn.shape<N, 20>> {nn.name = "x"})
      -> (tensor<?x20xf32, #nn.shape<N, 20>>) {
    %w = nn.weight "w" : tensor<20x20xf32>
    %0 = nn.matmul %x, %w
      : (tensor<?x20xf32, #nn.shape<N, 20>>, tensor<20x20xf32>)
      -> tensor<?x20xf32, #nn.shape<N, 20>>
    %1 = nn.softmax %0 {axis = 1 : i64}
      : (tensor<?x20xf32, #nn.shape<N, 20>>) -> tensor<?x20xf32, #nn.shape<N, 20>>
    func.return %1 : tensor<?x20xf32, #nn.shape<N, 20>>
  }"""


@pytest.fixture
def exact() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Input, weight, and result to the last bits of f64."""
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal((n, 20)).astype(np.float32) for n in (3, 20))
    powers = np.exp(x.astype(np.float64) @ w)
    return x, w, powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("compiled", [False, True], ids=["interpreted", "compiled"])
def test_widened_network_is_as_accurate_as_doubles(
    exact: tuple[np.ndarray, np.ndarray, np.ndarray], compiled: bool
):
    x, w, expected = exact
    module = nnc.Module.parse(TEXT, {"w": w}).apply("widen-floats")
    inputs = {"x": x.astype(np.float64)}
    if compiled:
        outputs = nnc.compile(module, target="generic").run(None, inputs)
    else:
        outputs = module.interpret(inputs)
    assert [o.dtype for o in outputs] == [np.float64]
    np.testing.assert_allclose(np.asarray(outputs, np.float64)[0], expected, 1e-13)


def test_weights_of_the_given_module_stay():
    w = np.ones((20, 20), np.float32)
    module = nnc.Module.parse(TEXT, {"w": w})
    widened = module.apply("widen-floats")
    assert module.weights["w"].dtype == np.float32
    assert widened.weights["w.f64"].dtype == np.float64
