"""The hash of a `ModelProto`, without a second copy of its weights."""

from __future__ import annotations

from typing import cast

import xxhash
from google.protobuf.message import Message
from onnx import GraphProto, ModelProto

from nnc.errors import CacheError


def proto_hash(model: object) -> str:
    """
    A hash that is equal for equal models.

    Raises:
        CacheError: it is no model, or one that cannot be written as bytes.
    """
    if not isinstance(model, ModelProto):
        raise CacheError(f"a {type(model).__name__} has no key")
    digest = xxhash.xxh3_128()
    try:
        _add(digest, model)
    except (ValueError, MemoryError) as error:
        raise CacheError(f"the model cannot be hashed: {error}") from error
    return digest.hexdigest()


def _add(digest: xxhash.xxh3_128, message: Message) -> None:
    """
    Hash a message field by field, and element by element where there are several.

    The whole graph as one string of bytes would double the memory of the model.
    """
    for field, value in message.ListFields():
        is_one = isinstance(value, Message | str | bytes | int | float)
        items = cast("list[object]", [value] if is_one else value)
        digest.update(f"{field.number} {len(items)}\n".encode())
        for item in items:
            if isinstance(item, GraphProto):
                _add(digest, item)
                digest.update(b"end\n")
                continue
            is_message = isinstance(item, Message)
            data = (
                item.SerializeToString(deterministic=True)
                if is_message
                else repr(item).encode()
            )
            digest.update(f"{len(data)}\n".encode())
            digest.update(data)
