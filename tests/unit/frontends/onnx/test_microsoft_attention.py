"""Attention ops of com.microsoft, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nnc.errors import UnsupportedOp

F32 = np.float32
I32 = np.int32
HEADS, DEPTH, WIDTH = 2, 4, 8
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def floats(rng: np.random.Generator, *shape: int) -> Any:
    return rng.standard_normal(shape).astype(F32)


def key_masks(batch: int, queries: int, keys: int) -> dict[str, Any]:
    """All kinds of key masks."""
    rng = np.random.default_rng(3)
    ends = rng.integers(1, keys + 1, batch, I32)
    starts = np.zeros(batch, I32)
    starts[0] = ends[0] - 1
    return {
        "none": None,
        "keys": rng.integers(0, 2, (batch, keys), I32),
        "queries": rng.integers(0, 2, (batch, queries, keys), I32),
        "ends": ends,
        "bounds": np.concatenate([ends, starts]),
    }


KINDS = list(key_masks(1, 1, 1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("past", [0, 3])
@pytest.mark.parametrize("causal", [0, 1])
def test_attention(kind: str, past: int, causal: int, node_agrees: Any, rng: Any):
    batch, length = 3, 5
    mask = key_masks(batch, length, past + length)[kind]
    inputs = [floats(rng, batch, length, 6), floats(rng, 6, 3 * WIDTH)]
    inputs += [floats(rng, 3 * WIDTH), mask]
    cache = floats(rng, 2, batch, HEADS, past, DEPTH) if past else None
    # ONNX Runtime takes a past or a bias.
    bias = None if past else floats(rng, batch, HEADS, length, past + length)
    inputs += [cache, bias]
    # Rows that see nothing keep few digits: those of scores near -10000.
    node_agrees(
        *("Attention", inputs),
        out=[F32, F32],
        num_heads=HEADS,
        unidirectional=causal,
        rtol=2e-3,
        atol=1e-3 if causal else 1e-5,
    )


def test_attention_with_values_of_another_width(node_agrees: Any, rng: Any):
    inputs = [floats(rng, 2, 5, 6), floats(rng, 6, 2 * WIDTH + 6)]
    inputs.append(floats(rng, 2 * WIDTH + 6))
    sizes = [WIDTH, WIDTH, 6]
    node_agrees(
        "Attention", inputs, num_heads=HEADS, qkv_hidden_sizes=sizes, **TOLERANCE
    )


def test_what_attention_refuses(node_agrees: Any, rng: Any):
    inputs = [floats(rng, 2, 5, 6), floats(rng, 6, 3 * WIDTH), floats(rng, 3 * WIDTH)]
    with pytest.raises(UnsupportedOp, match="do_rotary"):
        node_agrees("Attention", inputs, num_heads=HEADS, do_rotary=1, run_peer=False)
    inputs.append(np.ones(5, I32))
    with pytest.raises(UnsupportedOp, match="a mask of 5 elements for a batch of 2"):
        node_agrees("Attention", inputs, num_heads=HEADS, run_peer=False)


@pytest.mark.parametrize("kind", ["none", "keys", "queries", "ends"])
@pytest.mark.parametrize("past", [0, 3])
@pytest.mark.parametrize("with_bias", [False, True])
def test_multi_head(kind: str, past: int, with_bias: bool, node_agrees: Any, rng: Any):
    batch, length, keys = 2, 4, 4 if past else 6
    mask = key_masks(batch, length, past + keys)[kind]
    if kind == "ends" and past:
        pytest.skip("ONNX Runtime has no ends with a past")
    inputs: list[Any] = [floats(rng, batch, n, WIDTH) for n in (length, keys, keys)]
    inputs += [floats(rng, 3 * WIDTH) if with_bias else None, mask]
    inputs.append(floats(rng, 1, HEADS, length, past + keys))
    if past:
        inputs += [floats(rng, batch, HEADS, past, DEPTH) for _ in range(2)]
    out = [F32, F32, F32] if past else [F32]
    node_agrees(
        "MultiHeadAttention", inputs, out=out, num_heads=HEADS, scale=0.4, **TOLERANCE
    )


def test_multi_head_scores(node_agrees: Any, rng: Any):
    inputs: list[Any] = [floats(rng, 2, n, WIDTH) for n in (3, 5, 5)]
    inputs += [None, key_masks(2, 3, 5)["ends"], floats(rng, 1, HEADS, 3, 5)]
    node_agrees(
        *("MultiHeadAttention", inputs),
        out=[F32, None, None, F32],
        num_heads=HEADS,
        **TOLERANCE,
    )


def test_multi_head_causal(node_agrees: Any, rng: Any):
    inputs: list[Any] = [floats(rng, 2, 3, WIDTH) for _ in range(3)]
    inputs += [None] * 3 + [floats(rng, 2, HEADS, 2, DEPTH) for _ in range(2)]
    node_agrees(
        *("MultiHeadAttention", inputs),
        out=[F32, F32, F32],
        num_heads=HEADS,
        unidirectional=1,
        **TOLERANCE,
    )


@pytest.mark.parametrize("with_bias", [False, True])
def test_multi_head_on_split_keys(with_bias: bool, node_agrees: Any, rng: Any):
    split = [floats(rng, 2, HEADS, 6, DEPTH) for _ in range(2)]
    inputs: list[Any] = [floats(rng, 2, 3, WIDTH), *split]
    if with_bias:
        bias = floats(rng, 3 * WIDTH)
        bias[WIDTH:] = 0
        inputs.append(bias)
    node_agrees("MultiHeadAttention", inputs, num_heads=HEADS, **TOLERANCE)


@pytest.mark.parametrize("parts", [2, 3])
def test_multi_head_on_packed_rows(parts: int, run_node: Any, rng: Any):
    q, k, v = (floats(rng, 2, 5, WIDTH) for _ in range(3))
    wanted = run_node("MultiHeadAttention", [q, k, v], num_heads=HEADS)
    split = [x.reshape(2, 5, HEADS, DEPTH) for x in (q, k, v)]
    packed = np.stack(split[3 - parts :], 3)
    inputs = [packed] if parts == 3 else [q, packed]
    found = run_node("MultiHeadAttention", inputs, num_heads=HEADS)
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5)


@pytest.mark.parametrize("cross", [False, True])
def test_decoder_multi_head(cross: bool, run_node: Any, rng: Any):
    """ONNX Runtime's own asks for a shared cache; it is as attention on one query."""
    query, bias = floats(rng, 2, 1, WIDTH), floats(rng, 3 * WIDTH)
    past = [floats(rng, 2, HEADS, 3, DEPTH) for _ in range(2)]
    if cross:
        inputs: list[Any] = [query, *past]
        twin: list[Any] = [query, *past]
        out = [F32]
    else:
        new = [floats(rng, 2, 1, WIDTH) for _ in range(2)]
        mask = np.array([[1, 1, 1, 1], [0, 1, 1, 1]], I32)
        inputs = [query, *new, mask, None, *past, None, None, None, bias]
        twin = [query, *new, bias, mask, None, *past]
        out = [F32, F32, F32]
    op = "DecoderMaskedMultiHeadAttention"
    found = run_node(op, inputs, num_heads=HEADS, out=out)
    wanted = run_node("MultiHeadAttention", twin, num_heads=HEADS, out=out)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("offset", [False, True])
def test_rotary(interleaved: int, flat: bool, offset: bool, node_agrees: Any, rng: Any):
    x = floats(rng, 2, 5, 2 * 8) if flat else floats(rng, 2, 2, 5, 8)
    positions = np.array([3]) if offset else rng.integers(0, 9, (2, 5))
    inputs = [x, positions.astype(np.int64), floats(rng, 10, 4), floats(rng, 10, 4)]
    node_agrees("RotaryEmbedding", inputs, interleaved=interleaved, scale=1.0)


def test_rotary_of_a_part(node_agrees: Any, rng: Any):
    inputs = [floats(rng, 2, 5, 16), np.array([0], np.int64)]
    inputs += [floats(rng, 10, 2), floats(rng, 10, 2)]
    node_agrees("RotaryEmbedding", inputs, num_heads=2, rotary_embedding_dim=4)


# ---------------------------------------------------------------- grouped queries


def grouped(
    rng: Any, lengths: list[int], new: int, past: int, packed: bool = False
) -> list[Any]:
    """Inputs for elements that have `lengths` keys in all, `new` of them new."""
    batch, heads, groups, depth = len(lengths), 4, 2, 16
    q, k, v = (floats(rng, batch, new, n * depth) for n in (heads, groups, groups))
    inputs: list[Any] = [q, k, v]
    if packed:
        inputs = [np.concatenate(inputs, -1), None, None]
    cache = [floats(rng, batch, groups, past, depth) for _ in range(2)]
    inputs += cache if past else [None, None]
    inputs.append(np.array(lengths, I32) - 1)
    inputs.append(np.array(max(lengths), I32))
    return inputs


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("rotary", [0, 1])
@pytest.mark.parametrize(
    ("lengths", "new", "past"),
    [
        ([5, 5], 5, 0),  # a prompt
        ([5, 5], 5, 9),  # a prompt, and room in the cache
        ([8, 8], 1, 7),  # a token
        ([8, 5], 1, 7),  # a token, of sequences of different lengths
        ([8, 6], 1, 12),  # a token, and room in the cache
    ],
)
def test_grouped(
    lengths: list[int],
    new: int,
    past: int,
    packed: bool,
    rotary: int,
    node_agrees: Any,
    rng: Any,
):
    inputs = grouped(rng, lengths, new, past, packed)
    if rotary:
        inputs += [floats(rng, 16, 8), floats(rng, 16, 8)]
    node_agrees(
        *("GroupQueryAttention", inputs),
        out=[F32, F32, F32],
        constants=[6],
        num_heads=4,
        kv_num_heads=2,
        do_rotary=rotary,
        **TOLERANCE,
    )


@pytest.mark.parametrize(
    "options",
    [
        {"local_window_size": 3},
        {"softcap": 1.5},
        {"smooth_softmax": 1},
        {"scale": 0.9},
        {"rotary_interleaved": 1, "do_rotary": 1},
    ],
)
@pytest.mark.parametrize(("new", "past"), [(6, 0), (1, 6), (3, 5)])
def test_grouped_options(options: Any, new: int, past: int, node_agrees: Any, rng: Any):
    batch = 1 if new == 3 else 2  # more tokens after others: ONNX Runtime takes one
    inputs = grouped(rng, [past + new] * batch, new, past)
    if "do_rotary" in options:
        inputs += [floats(rng, 16, 8), floats(rng, 16, 8)]
    node_agrees(
        *("GroupQueryAttention", inputs),
        out=[F32, F32, F32],
        constants=[6],
        num_heads=4,
        kv_num_heads=2,
        **options,
        **TOLERANCE,
    )


@pytest.mark.parametrize("extra", ["bias", "sink", "positions"])
def test_grouped_inputs(extra: str, node_agrees: Any, rng: Any):
    inputs = grouped(rng, [7, 7], 1, 6)
    inputs += [floats(rng, 16, 8), floats(rng, 16, 8)]
    given = {
        "positions": np.array([[4], [2]], np.int64),
        "bias": floats(rng, 2, 4, 1, 7),
        "sink": floats(rng, 4),
    }
    for name in ("positions", "bias", "sink"):
        inputs.append(given[name] if name == extra else None)
    while inputs[-1] is None:
        inputs.pop()
    node_agrees(
        *("GroupQueryAttention", inputs),
        out=[F32, F32, F32],
        constants=[6],
        num_heads=4,
        kv_num_heads=2,
        do_rotary=1,
        **TOLERANCE,
    )


def test_padded_prompts_are_as_those_alone(run_node: Any, rng: Any):
    """Rows behind the end of a prompt hold anything."""
    options = {"constants": [6], "num_heads": 4, "kv_num_heads": 2, "do_rotary": 1}
    tables = [floats(rng, 16, 8), floats(rng, 16, 8)]
    inputs = grouped(rng, [5, 3], 5, 0)
    both = run_node("GroupQueryAttention", [*inputs, *tables], **options)
    short = [x[1:, :3] for x in inputs[:3]] + [None, None]
    short += [np.array([2], I32), np.array(3, I32)]
    alone = run_node("GroupQueryAttention", [*short, *tables], **options)
    np.testing.assert_allclose(both[0][1:, :3], alone[0], rtol=1e-4, atol=1e-5)


def test_grouped_sees_both_ways(run_node: Any, rng: Any):
    inputs = grouped(rng, [5, 5], 5, 0)
    options = {"constants": [6], "num_heads": 4, "kv_num_heads": 2, "causal": 0}
    (found,) = run_node("GroupQueryAttention", inputs, **options)
    q, k, v = (x.reshape(2, 5, -1, 16).transpose(0, 2, 1, 3) for x in inputs[:3])
    k, v = (np.repeat(x, 2, 1) for x in (k, v))
    weights = np.exp(q @ k.transpose(0, 1, 3, 2) * 16**-0.5)
    wanted = weights / weights.sum(-1, keepdims=True) @ v
    wanted = wanted.transpose(0, 2, 1, 3).reshape(2, 5, -1)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
