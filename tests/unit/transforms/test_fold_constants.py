"""What fold-constants does to the weight store: weights are there once."""

import numpy as np

from nnc.module import Module

W = np.arange(64, dtype=np.float32).reshape(8, 8)

HEADER = "func.func @main(%x: tensor<8x8xf32>) -> (tensor<8x8xf32>, tensor<8x8xf32>) {"
WEIGHT = '%w = nn.weight "w" : tensor<8x8xf32>'
TRANSPOSED = (
    "%t = nn.transpose %w {permutation = array<i64: 1, 0>} : "
    "(tensor<8x8xf32>) -> tensor<8x8xf32>"
)
NEGATED = "%n = nn.neg %t : (tensor<8x8xf32>) -> tensor<8x8xf32>"


def folded(*lines: str, results: str) -> Module:
    """The module of these lines after the pass, which runs in place."""
    end = f"func.return {results} : tensor<8x8xf32>, tensor<8x8xf32>\n}}"
    module = Module.parse("\n".join([HEADER, *lines, end]), {"w": W})
    return module.apply("fold-constants")


def names(module: Module) -> list[str]:
    return sorted(module.weights)


def test_weight_goes_when_what_is_made_of_it_is_there():
    module = folded(WEIGHT, TRANSPOSED, NEGATED, results="%n, %n")
    (name,) = names(module)
    assert name != "w"
    np.testing.assert_array_equal(module.weights[name], -W.T)


def test_steps_in_between_are_no_weights():
    module = folded(WEIGHT, TRANSPOSED, NEGATED, results="%n, %x")
    assert len(names(module)) == 1


def test_weight_that_is_read_elsewhere_stays():
    module = folded(WEIGHT, TRANSPOSED, results="%t, %w")
    assert len(names(module)) == 2
    np.testing.assert_array_equal(module.weights["w"], W)


def test_step_that_is_read_elsewhere_stays():
    module = folded(WEIGHT, TRANSPOSED, NEGATED, results="%n, %t")
    arrays = [module.weights[name] for name in names(module)]
    assert sorted(a[0, 1] for a in arrays) == [-8, 8]


def test_weight_that_two_ops_name_stays():
    again = WEIGHT.replace("%w", "%v")
    module = folded(WEIGHT, again, TRANSPOSED, results="%t, %v")
    np.testing.assert_array_equal(module.weights["w"], W)


def test_weight_under_a_repetition_that_is_kept_stays():
    # Repetition stays a view, and reads the weight when the model runs.
    row = '%r = nn.weight "r" : tensor<1x32xf32>'
    wide = (
        "%b = nn.broadcast %r {axes = array<i64: 0, 1>} : "
        "(tensor<1x32xf32>) -> tensor<32x32xf32>"
    )
    module = Module.parse(
        "func.func @main() -> tensor<32x32xf32> {\n"
        f"{row}\n{wide}\nfunc.return %b : tensor<32x32xf32>\n}}",
        {"r": np.arange(32, dtype=np.float32).reshape(1, 32)},
    )
    assert names(module.apply("fold-constants")) == ["r"]


def test_given_module_keeps_its_weights():
    end = "func.return %t, %t : tensor<8x8xf32>, tensor<8x8xf32>\n}"
    module = Module.parse("\n".join([HEADER, WEIGHT, TRANSPOSED, end]), {"w": W})
    module.apply("fold-constants")
    assert names(module) == ["w"]
