"""Converters that move elements, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnc.errors import ModelError

F32 = np.float32
I64 = np.int64


def ints(*values: int) -> Any:
    """An i64 vector."""
    return np.array(values, I64)


# ---------------------------------------------------------------- reshape


@pytest.mark.parametrize(
    "target",
    [(4, -1), (0, 6), (0, -1), (24,), (-1,), (0, 0, 2, 3), (1, -1, 2)],
    ids=str,
)
def test_reshape_targets_agree(
    target: tuple[int, ...], agrees: Any, rng: np.random.Generator
):
    x = rng.standard_normal((4, 3, 2)).astype(F32)
    if target == (0, 0, 2, 3):
        x = x.reshape(2, 2, 6)
    elif target[0] == 0 and len(target) == 2:
        x = x.reshape(4, 6)
    dims = ",".join(map(str, x.shape))
    agrees(
        f"(float[{dims}] x) => (float[] y) {{ y = Reshape(x, s) }}",
        {"x": x},
        {"s": ints(*target)},
    )


@pytest.mark.parametrize("sizes", [(1, 1), (2, 5), (3, 8)], ids=str)
def test_reshape_by_computed_shape_agrees_for_free_dims(
    sizes: tuple[int, int], agrees: Any, rng: np.random.Generator
):
    n, s = sizes
    agrees(
        """(float[N,S,12] x) => (float[] y, float[] z) {
            shape = Shape(x)
            zero = Constant<value = int64 {0}>()
            one = Constant<value = int64 {1}>()
            n0 = Gather(shape, zero)
            s0 = Gather(shape, one)
            axes = Constant<value = int64[1] {0}>()
            n1 = Unsqueeze(n0, axes)
            s1 = Unsqueeze(s0, axes)
            heads = Constant<value = int64[2] {3, 4}>()
            target = Concat<axis = 0>(n1, s1, heads)
            y = Reshape(x, target)
            product = Mul(n0, s0)
            p1 = Unsqueeze(product, axes)
            rest = Constant<value = int64[1] {-1}>()
            flat = Concat<axis = 0>(p1, rest)
            z = Reshape(x, flat)
        }""",
        {"x": rng.standard_normal((n, s, 12)).astype(F32)},
    )


def test_reshape_to_free_dims_has_simple_types(import_text: Any):
    text = import_text(
        "(float[N,S,12] x) => (float[] y) { y = Reshape(x, s) }",
        {"s": ints(0, -1, 3, 4)},
    )
    assert "#nn.shape<N, S, 3, 4>" in text


@pytest.mark.parametrize("target", [(-1, -1), (5, 5), (0, 0, 0, 0), (-2, 12)], ids=str)
def test_reshape_to_an_invalid_target_is_refused(
    target: tuple[int, ...], import_text: Any
):
    with pytest.raises(ModelError, match=r"Reshape \(node 'Reshape:y'\)"):
        import_text(
            "(float[4,3,2] x) => (float[] y) { y = Reshape(x, s) }",
            {"s": ints(*target)},
        )


def test_reshape_by_data_reads_the_sizes_in_the_run(import_text: Any):
    text = import_text("(float[4] x, int64[2] s) => (float[] y) { y = Reshape(x, s) }")
    assert text.count("nn.define_dims") == 2
    assert "#nn.shape<Reshape_y_size, Reshape_y_size_1>" in text


def test_reshape_to_a_rank_that_is_data_is_compiled_late(import_text: Any):
    text = import_text("(float[4] x, int64[N] s) => (float[] y) { y = Reshape(x, s) }")
    assert 'op_type = "Deferred"' in text


def test_reshape_before_opset_5_has_an_attribute(run_graph: Any):
    x = np.arange(6, dtype=F32)
    (y,) = run_graph(
        "(float[6] x) => (float[] y) { y = Reshape<shape=[2,-1]>(x) }",
        {"x": x},
        opset=4,
    )
    assert y.shape == (2, 3)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1])
def test_flatten_agrees(axis: int, agrees: Any, rng: np.random.Generator):
    x = rng.standard_normal((2, 3, 4)).astype(F32)
    agrees(
        f"(float[2,3,4] x) => (float[] y) {{ y = Flatten<axis={axis}>(x) }}", {"x": x}
    )


def test_squeeze_and_unsqueeze_agree_in_both_forms(
    agrees: Any, rng: np.random.Generator
):
    x = rng.standard_normal((1, 3, 1)).astype(F32)
    agrees(
        """(float[1,3,1] x) => (float[] a, float[] b, float[] c) {
            a = Squeeze<axes=[0]>(x) b = Squeeze(x) c = Unsqueeze<axes=[0, -1]>(x)
        }""",
        {"x": x},
        opset=11,
    )
    agrees(
        """(float[1,3,1] x) => (float[] a, float[] b, float[] c) {
            a = Squeeze(x, i) b = Squeeze(x) c = Unsqueeze(x, j)
        }""",
        {"x": x},
        {"i": ints(-1), "j": ints(0, 4)},
    )


def test_squeeze_of_a_free_axis_states_that_it_is_one(run_graph: Any, import_text: Any):
    graph = "(float[N,3] x) => (float[] y) { y = Squeeze(x, i) }"
    assert "nn.dim_cast" in import_text(graph, {"i": ints(0)})
    (y,) = run_graph(graph, {"x": np.ones((1, 3), F32)}, {"i": ints(0)})
    assert y.shape == (3,)


@pytest.mark.parametrize("attribute", ["", "<perm=[2,0,1]>", "<perm=[0,1,2]>"])
def test_transpose_agrees(attribute: str, agrees: Any, rng: np.random.Generator):
    x = rng.standard_normal((2, 3, 4)).astype(F32)
    agrees(
        f"(float[2,3,4] x) => (float[] y) {{ y = Transpose{attribute}(x) }}", {"x": x}
    )


def test_transpose_by_no_permutation_is_refused(import_text: Any):
    with pytest.raises(ModelError, match=r"\[0, 0\] is no permutation"):
        import_text("(float[2,3] x) => (float[] y) { y = Transpose<perm=[0,0]>(x) }")


@pytest.mark.parametrize("target", [(3, 4), (2, 3, 4), (1, 1), (3, 1)], ids=str)
def test_expand_agrees(target: tuple[int, ...], agrees: Any, rng: np.random.Generator):
    x = rng.standard_normal((3, 1)).astype(F32)
    agrees(
        "(float[3,1] x) => (float[] y) { y = Expand(x, s) }",
        {"x": x},
        {"s": ints(*target)},
    )


@pytest.mark.parametrize("repeats", [(1, 1), (2, 1), (1, 3), (2, 3)], ids=str)
def test_tile_agrees(repeats: tuple[int, ...], agrees: Any, rng: np.random.Generator):
    x = rng.standard_normal((2, 1)).astype(F32)
    agrees(
        "(float[2,1] x) => (float[] y) { y = Tile(x, r) }",
        {"x": x},
        {"r": ints(*repeats)},
    )


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space_agrees(mode: str, agrees: Any, rng: np.random.Generator):
    x = rng.standard_normal((2, 8, 3, 4)).astype(F32)
    agrees(
        "(float[2,8,3,4] x) => (float[] y) "
        f'{{ y = DepthToSpace<blocksize=2, mode="{mode}">(x) }}',
        {"x": x},
    )


def test_space_to_depth_agrees(agrees: Any, rng: np.random.Generator):
    x = rng.standard_normal((2, 3, 4, 6)).astype(F32)
    agrees(
        "(float[2,3,4,6] x) => (float[] y) { y = SpaceToDepth<blocksize=2>(x) }",
        {"x": x},
    )


def test_depth_that_makes_no_blocks_is_refused(import_text: Any):
    with pytest.raises(ModelError, match="7 channels do not make blocks of 4"):
        import_text(
            "(float[1,7,2,2] x) => (float[] y) { y = DepthToSpace<blocksize=2>(x) }"
        )


# ---------------------------------------------------------------- concat, split, slice


def test_concat_states_other_axes_equal(agrees: Any, rng: np.random.Generator):
    feeds = {
        "a": rng.standard_normal((2, 3)).astype(F32),
        "b": rng.standard_normal((2, 4)).astype(F32),
    }
    agrees(
        "(float[N,3] a, float[P,4] b) => (float[] y) { y = Concat<axis=-1>(a, b) }",
        feeds,
    )


def test_concat_of_other_ranks_is_refused(import_text: Any):
    with pytest.raises(ModelError, match="differ in rank"):
        import_text(
            "(float[2] a, float[2,1] b) => (float[] y) { y = Concat<axis=0>(a, b) }"
        )


def test_split_agrees_in_all_versions(agrees: Any, rng: np.random.Generator):
    x = rng.standard_normal((6, 2)).astype(F32)
    head = "(float[6,2] x) => (float[] a, float[] b)"
    agrees(f"{head} {{ a, b = Split(x) }}", {"x": x}, opset=11)
    agrees(f"{head} {{ a, b = Split<split=[2,4]>(x) }}", {"x": x}, opset=11)
    agrees(f"{head} {{ a, b = Split(x, s) }}", {"x": x}, {"s": ints(1, 5)}, opset=13)
    x = rng.standard_normal((7, 2)).astype(F32)
    head = "(float[7,2] x) => (float[] a, float[] b)"
    agrees(f"{head} {{ a, b = Split<num_outputs=2>(x) }}", {"x": x}, opset=18)


@pytest.mark.parametrize("size", [2, 6])
def test_split_of_a_free_axis_agrees(size: int, agrees: Any, rng: np.random.Generator):
    x = rng.standard_normal((3, size)).astype(F32)
    agrees(
        "(float[3,S] x) => (float[] a, float[] b) { a, b = Split<axis=1>(x) }", {"x": x}
    )


def test_uneven_split_is_refused_before_opset_18(import_text: Any):
    with pytest.raises(ModelError, match="7 elements do not make 2 equal parts"):
        import_text("(float[7] x) => (float[] a, float[] b) { a, b = Split(x) }")


SLICES = [
    (0, 1, 1),
    (1, 2**63 - 1, 1),
    (0, -1, 1),
    (-1, 2**63 - 1, 1),
    (-2, 2**31 - 1, 1),
    (1, -1, 1),
    (0, 2**63 - 1, 2),
    (2**63 - 1, -(2**63), -1),
    (-1, -(2**63), -2),
    (0, 100, 1),
    (-100, 2, 1),
]


@pytest.mark.parametrize("bounds", SLICES, ids=str)
@pytest.mark.parametrize("free", [True, False], ids=["free", "fixed"])
@pytest.mark.parametrize("size", [3, 8])
def test_slice_agrees(
    bounds: tuple[int, int, int],
    free: bool,
    size: int,
    agrees: Any,
    rng: np.random.Generator,
):
    start, end, step = bounds
    x = rng.standard_normal((2, size)).astype(F32)
    agrees(
        f"(float[2,{'S' if free else size}] x) => (float[] y) "
        "{ y = Slice(x, starts, ends, axes, steps) }",
        {"x": x},
        {
            "starts": ints(start),
            "ends": ints(end),
            "axes": ints(-1),
            "steps": ints(step),
        },
    )


@pytest.mark.parametrize(
    ("end", "dims"), [(-1, "S - 1"), (-2, "S - 2"), (2**63 - 1, "S")], ids=str
)
def test_slice_of_a_free_axis_has_a_simple_type(end: int, dims: str, import_text: Any):
    text = import_text(
        "(float[2,S] x) => (float[] y) { y = Slice(x, s, e, a) }",
        {"s": ints(0), "e": ints(end), "a": ints(1)},
    )
    assert f"(tensor<2x?xf32, #nn.shape<2, {dims}>> {{nn.name" in text


def test_slice_by_another_inputs_size_agrees(agrees: Any, rng: np.random.Generator):
    feeds = {
        "ids": rng.integers(0, 9, (2, 5), I64),
        "table": rng.standard_normal((9, 4)).astype(F32),
    }
    agrees(
        """(int64[N,S] ids, float[9,4] table) => (float[] y) {
            shape = Shape(ids)
            one = Constant<value = int64[1] {1}>()
            length = Gather(shape, one)
            zero = Constant<value = int64[1] {0}>()
            part = Slice(table, zero, length, zero)
            words = Gather(table, ids)
            y = Add(words, part)
        }""",
        feeds,
    )


def test_slice_before_opset_10_has_attributes(agrees: Any, rng: np.random.Generator):
    x = rng.standard_normal((4, 5)).astype(F32)
    agrees(
        "(float[4,5] x) => (float[] y) { y = Slice<starts=[1,0], ends=[3,-1]>(x) }",
        {"x": x},
        opset=9,
    )


def test_slice_with_step_0_is_refused(import_text: Any):
    with pytest.raises(ModelError, match="step of axis 0 is 0"):
        import_text(
            "(float[4] x) => (float[] y) { y = Slice(x, a, b, a, z) }",
            {"a": ints(0), "b": ints(4), "z": ints(0)},
        )


# ---------------------------------------------------------------- pad


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge", "wrap"])
def test_pad_modes_agree(mode: str, agrees: Any, rng: np.random.Generator):
    x = rng.standard_normal((3, 4)).astype(F32)
    agrees(
        f'(float[3,4] x) => (float[] y) {{ y = Pad<mode="{mode}">(x, p) }}',
        {"x": x},
        {"p": ints(1, 2, 0, 3)},
        opset=19,
    )


@pytest.mark.parametrize(
    "pads", [(0, -1, 0, 2), (-1, 1, -1, -2), (0, 0, 0, 0)], ids=str
)
def test_negative_padding_cuts(
    pads: tuple[int, ...], agrees: Any, rng: np.random.Generator
):
    x = rng.standard_normal((4, 5)).astype(F32)
    agrees(
        "(float[4,5] x) => (float[] y) { y = Pad(x, p, v) }",
        {"x": x},
        {"p": ints(*pads), "v": np.array(1.5, F32)},
    )


def test_pad_on_some_axes_agrees(agrees: Any, rng: np.random.Generator):
    x = rng.standard_normal((2, 3, 4)).astype(F32)
    agrees(
        '(float[2,3,4] x) => (float[] y) { y = Pad(x, p, "", a) }'.replace('""', ""),
        {"x": x},
        {"p": ints(1, 2), "a": ints(-1)},
        opset=18,
    )


def test_pad_before_opset_11_has_attributes(agrees: Any, rng: np.random.Generator):
    x = rng.standard_normal((2, 3)).astype(F32)
    agrees(
        "(float[2,3] x) => (float[] y) { y = Pad<pads=[0,1,1,0], value=2.5>(x) }",
        {"x": x},
        opset=10,
    )


def test_reflection_of_too_small_an_axis_is_refused(import_text: Any):
    with pytest.raises(ModelError, match="axis 0 of 2 elements cannot be mirrored"):
        import_text(
            '(float[2] x) => (float[] y) { y = Pad<mode="reflect">(x, p) }',
            {"p": ints(2, 0)},
        )


# ---------------------------------------------------------------- gather


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("indices", [2, [1], [[0, -1], [2, 1]]], ids=str)
def test_gather_agrees(axis: int, indices: Any, agrees: Any, rng: np.random.Generator):
    x = rng.standard_normal((3, 4, 3)).astype(F32)
    agrees(
        f"(float[3,4,3] x) => (float[] y) {{ y = Gather<axis={axis}>(x, i) }}",
        {"x": x},
        {"i": np.array(indices, I64)},
    )


@pytest.mark.parametrize("index", [0, -1])
def test_one_row_of_a_free_axis_is_a_view(
    index: int, import_text: Any, agrees: Any, rng: np.random.Generator
):
    graph = "(float[N,S,3] x) => (float[] y) { y = Gather<axis=1>(x, i) }"
    text = import_text(graph, {"i": np.array(index)})
    assert "nn.slice" in text
    assert "nn.gather" not in text
    x = rng.standard_normal((2, 4, 3)).astype(F32)
    agrees(graph, {"x": x}, {"i": np.array(index)})


def test_gather_of_a_constant_index_outside_is_refused(import_text: Any):
    with pytest.raises(ModelError, match=r"index 3 is outside of axis 0 of 3"):
        import_text(
            "(float[3] x) => (float[] y) { y = Gather(x, i) }", {"i": np.array(3)}
        )


def test_gather_elements_agrees(agrees: Any, rng: np.random.Generator):
    feeds = {
        "x": rng.standard_normal((3, 4)).astype(F32),
        "i": rng.integers(-3, 3, (2, 4), I64),
    }
    agrees(
        "(float[3,4] x, int64[2,4] i) => (float[] y) "
        "{ y = GatherElements<axis=0>(x, i) }",
        feeds,
    )


def test_gather_elements_of_free_dims_agrees(agrees: Any, rng: np.random.Generator):
    feeds = {
        "x": rng.standard_normal((3, 4)).astype(F32),
        "i": rng.integers(-3, 3, (2, 4), I64),
    }
    agrees(
        "(float[N,M] x, int64[P,Q] i) => (float[] y) "
        "{ y = GatherElements<axis=0>(x, i) }",
        feeds,
    )


def test_gather_elements_beyond_another_axis_is_refused(import_text: Any):
    with pytest.raises(ModelError, match=r"\[3, 4\] cannot have shape \[3, 5\]"):
        import_text(
            "(float[3,4] x, int64[3,5] i) => (float[] y) "
            "{ y = GatherElements<axis=0>(x, i) }"
        )


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_gather_nd_agrees(depth: int, agrees: Any, rng: np.random.Generator):
    feeds = {
        "x": rng.standard_normal((3, 4, 2)).astype(F32),
        "i": rng.integers(-2, 2, (5, 6, depth), I64),
    }
    agrees(
        f"(float[3,4,2] x, int64[5,6,{depth}] i) => (float[] y) "
        "{ y = GatherND(x, i) }",
        feeds,
    )


def test_gather_nd_with_batch_axes_agrees(agrees: Any, rng: np.random.Generator):
    feeds = {
        "x": rng.standard_normal((2, 3, 4)).astype(F32),
        "i": rng.integers(-3, 3, (2, 5, 1), I64),
    }
    agrees(
        "(float[2,3,4] x, int64[2,5,1] i) => (float[] y) "
        "{ y = GatherND<batch_dims=1>(x, i) }",
        feeds,
    )


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_one_hot_agrees(axis: int, agrees: Any):
    agrees(
        f"(int64[2,3] i) => (float[] y) {{ y = OneHot<axis={axis}>(i, d, v) }}",
        {"i": np.array([[0, 1, -1], [4, -5, 2]], I64)},
        {"d": np.array(5, F32), "v": np.array([0.5, 2.0], F32)},
    )


# ---------------------------------------------------------------- triangles


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [None, 0, 1, -2, 2**63 - 1])
def test_trilu_agrees(upper: int, k: int | None, agrees: Any, rng: np.random.Generator):
    x = rng.standard_normal((2, 4, 5)).astype(F32)
    agrees(
        "(float[2,R,C] x) => (float[] y) "
        f"{{ y = Trilu<upper={upper}>(x{'' if k is None else ', k'}) }}",
        {"x": x},
        {} if k is None else {"k": np.array(k)},
    )


@pytest.mark.parametrize("k", [0, 1, -1])
def test_eye_like_agrees(k: int, agrees: Any):
    agrees(
        f"(float[3,4] x) => (int64[] y) {{ y = EyeLike<k={k}, dtype=7>(x) }}",
        {"x": np.zeros((3, 4), F32)},
    )


def test_an_uneven_split_of_a_free_axis(compiled: Any):
    exe = compiled(
        "(float[N] x) => (float[] a, float[] b, float[] c) "
        "{ a, b, c = Split<num_outputs=3>(x) }",
        opset=18,
    )
    for size in (3, 7, 8):
        x = np.arange(size, dtype=np.float32)
        part = -(-size // 3)
        expected = np.split(x, [part, 2 * part])
        for ours, theirs in zip(exe(x), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("target", [(3, 8), (6, 2)], ids=str)
def test_free_axes_are_cropped_and_padded(target: tuple[int, int], matches: Any):
    for shape in ((4, 5), (3, 8), (9, 1)):
        matches(
            "(float[N, M] x) => (float[] y) { y = CenterCropPad(x, shape) }",
            {"x": np.arange(np.prod(shape), dtype=np.float32).reshape(shape)},
            {"shape": np.array(target)},
            opset=18,
        )


@pytest.mark.parametrize("pads", [[-5, 0], [-9, 9], [-2, -3], [0, -5]], ids=str)
def test_cutting_off_more_than_there_is_is_refused(pads: list[int], import_text: Any):
    with pytest.raises(ModelError, match="more is cut off axis 0 than it has"):
        import_text(
            "(float[4] x) => (float[] y) { y = Pad(x, p) }", {"p": np.array(pads)}
        )
