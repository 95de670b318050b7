"""Operations and bytes of dispatches."""

from __future__ import annotations

import pytest

import nnc
from nnc.analysis.work import work_of
from nnc.dialects.rt import DispatchOp, LaunchOp

TYPE = "!rt.buffer<f32, #nn.shape<{dims}>, #nn.shape<{strides}>>"


def buffer(dims: str, strides: str) -> str:
    """A buffer type of f32."""
    return TYPE.format(dims=dims, strides=strides)


def work(
    body: str, operands: list[tuple[str, str, str]], result: tuple[str, str, str]
) -> tuple[str, str, str]:
    """
    The work of a dispatch as texts.

    Operands and result are given by tensor type, and dims and strides of their buffers;
    the body uses %a, %b, ... and yields %r.
    """
    names = "abcdef"[: len(operands)]
    types = [buffer(d, s) for _, d, s in operands]
    out = buffer(*result[1:])
    arguments = ", ".join(f"%{n}_: {t}" for n, t in zip(names, types, strict=True))
    ins = ", ".join(f"%{n}_" for n in names)
    block = ", ".join(
        f"%{n}: tensor<{t}>" for n, (t, _, _) in zip(names, operands, strict=True)
    )
    text = f"""
      func.func @main({arguments}, %out: {out}) {{
        rt.dispatch ins({ins} : {", ".join(types)}) outs(%out : {out}) {{
        ^bb0({block}):
          {body}
          nn.yield %r : tensor<{result[0]}>
        }}
        func.return
      }}"""
    module = nnc.Module.parse(text)
    (dispatch,) = [op for op in module.ir.walk() if isinstance(op, DispatchOp)]
    made = work_of(dispatch)
    return str(made.operations), str(made.read), str(made.written)


def test_matmul_counts_multiplications_and_additions():
    body = (
        "%r = nn.matmul %a, %b : (tensor<5x7xf32>, tensor<7x3xf32>) -> tensor<5x3xf32>"
    )
    operands = [("5x7xf32", "5, 7", "7, 1"), ("7x3xf32", "7, 3", "3, 1")]
    assert work(body, operands, ("5x3xf32", "5, 3", "3, 1")) == (
        str(2 * 5 * 7 * 3),
        str(4 * (35 + 21)),
        str(4 * 15),
    )


def test_free_sizes_stay_expressions():
    free = "?x8xf32, #nn.shape<N, 8>"
    body = f"%r = nn.exp %a : (tensor<{free}>) -> tensor<{free}>"
    operand = (free, "N, 8", "8, 1")
    assert work(body, [operand], operand) == ("8*N", "32*N", "32*N")


def test_repeated_elements_are_read_once():
    body = "%r = nn.relu %a : (tensor<4x8xf32>) -> tensor<4x8xf32>"
    operand = ("4x8xf32", "4, 8", "0, 1")
    result = ("4x8xf32", "4, 8", "8, 1")
    assert work(body, [operand], result)[1] == str(4 * 8)


def test_slice_reads_what_it_shows():
    body = (
        "%r = nn.slice %a {offsets = #nn.shape<0>, steps = array<i64: 1>} "
        ": (tensor<8xf32>) -> tensor<2xf32>"
    )
    operands = [("8xf32", "8", "1")]
    assert work(body, operands, ("2xf32", "2", "1")) == ("0", "8", "8")


@pytest.mark.parametrize(
    ("layout", "filter"),
    [("channels_last", "3x3x4x6xf32"), ("channels_first", "6x4x3x3xf32")],
)
def test_convolution_counts_the_terms_of_each_element(layout: str, filter: str):
    last = layout == "channels_last"
    image, out = ("1x9x9x4", "1x7x7x6") if last else ("1x4x9x9", "1x6x7x7")
    text = f"""
      func.func @main(%x: tensor<{image}xf32>, %w: tensor<{filter}>)
          -> (tensor<{out}xf32>) {{
        %0 = nn.conv %x, %w {{strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>,
          padding = #nn.shape<0, 0, 0, 0>, layout = "{layout}", groups = 1 : i64}}
          : (tensor<{image}xf32>, tensor<{filter}>) -> tensor<{out}xf32>
        func.return %0 : tensor<{out}xf32>
      }}"""
    module = nnc.Module.parse(text).apply(
        "nnc-nn{target=avx2},bufferize,lower-dispatches{target=avx2}"
    )
    works = [
        op.work.dims[0].as_int()
        for op in module.ir.walk()
        if isinstance(op, LaunchOp) and op.work is not None
    ]
    assert 2 * 49 * 6 * 36 in works
