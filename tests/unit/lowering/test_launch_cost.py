"""Estimates of launches: of the right order of magnitude, or expressions."""

import pytest

import nnc
from nnc.build import plan_of
from nnc.symbolic import parse_dim


def costs(text: str, target: str = "avx512", **sizes: int) -> list[int]:
    """Nanoseconds of the launches of a program."""
    module = nnc.Module.parse(text).apply(f"nnc-default{{target={target}}}")
    plan = plan_of(module.ir)
    values = [parse_dim(e).evaluate(sizes) for e in plan.exprs]
    return [values[launch.cost] for launch in plan.launches]


def matmul(rows: str, k: int, columns: int, element: str = "f32") -> str:
    """A product of two inputs."""
    symbolic = f", #nn.shape<{rows}, {{0}}>" if rows.isalpha() else ""
    shown = "?" if rows.isalpha() else rows

    def type_(first: str, last: int) -> str:
        return f"tensor<{first}x{last}x{element}{symbolic.format(last)}>"

    a, y = type_(shown, k), type_(shown, columns)
    b = f"tensor<{k}x{columns}x{element}>"
    return f"""
        func.func @main(%a: {a}, %b: {b}) -> {y} {{
          %0 = nn.matmul %a, %b : ({a}, {b}) -> {y}
          func.return %0 : {y}
        }}"""


UNARY = """
    func.func @main(%a: tensor<1000x64xf32>) -> tensor<1000x64xf32> {{
      %0 = nn.{op} %a : (tensor<1000x64xf32>) -> tensor<1000x64xf32>
      func.return %0 : tensor<1000x64xf32>
    }}"""


def test_contraction_is_near_the_peak_of_a_core():
    # 151 million operations at some 100 a nanosecond.
    (cost,) = costs(matmul("128", 768, 768))
    assert 1e6 < cost < 3e6


def test_matrix_times_vector_is_bound_by_memory():
    # 64 MiB of weights; from 10 to 30 bytes a nanosecond.
    (cost,) = costs(matmul("1", 4096, 4096))
    assert 2e6 < cost < 8e6


def test_narrow_vectors_take_longer():
    text = matmul("128", 256, 256)
    (wide,), (middle,), (narrow,) = (
        costs(text, target) for target in ("avx512", "avx2", "sse2")
    )
    assert wide < middle < narrow


def test_free_size_stays_in_the_estimate():
    text = matmul("N", 256, 256)
    (small,), (large,) = costs(text, N=10), costs(text, N=1000)
    assert 30 < large / small < 110


def test_integers_are_slow():
    (integers,), (floats,) = (costs(matmul("64", 64, 64, e)) for e in ("i32", "f32"))
    assert integers > 10 * floats


@pytest.mark.parametrize("op", ["tanh", "erf", "exp", "sin"])
def test_functions_cost_more_than_arithmetic(op: str):
    (cheap,) = costs(UNARY.format(op="neg"))
    (dear,) = costs(UNARY.format(op=op))
    assert dear > 1.3 * cheap
    assert 5e3 < cheap < 50e3


def test_attention_counts_both_products():
    q = "tensor<1x12x128x64xf32>"
    text = f"""
        func.func @main(%q: {q}, %k: {q}, %v: {q}) -> {q} {{
          %0 = nn.attention %q, %k, %v {{scale = 0.125 : f64}} : ({q}, {q}, {q}) -> {q}
          func.return %0 : {q}
        }}"""
    cost = max(costs(text))
    assert 2e5 < cost < 2e6
