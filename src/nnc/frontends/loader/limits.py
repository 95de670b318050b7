"""Bounds on models: what exceeds them is refused before any IR exists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from nnc.errors import LimitExceeded, LoadError


@dataclass(frozen=True)
class Limits:
    """The bounds that a model file and the network in it must respect."""

    file_bytes: int = 2**31 - 1
    """Bytes of the model file; protobuf itself ends here. External data may be more."""
    nodes: int = 1_000_000
    """Nodes of the graph, its subgraphs and its functions, each call counted."""
    depth: int = 64
    """Subgraphs and function calls inside of each other."""
    rank: int = 32
    """Axes of a tensor."""
    dim: int = 2**40
    """Elements along one axis."""
    tensor_bytes: int = 2**38
    """Bytes of one tensor of constant shape."""
    sparse_bytes: int = 2**30
    """Bytes of a sparse tensor once it is dense: a short file can ask for many."""
    name_bytes: int = 64 * 1024
    """Bytes of one name."""

    def check_name(self, name: str | bytes, what: str) -> None:
        """
        Refuse names that are too long, or no text.

        Raises:
            LimitExceeded: it is too long.
            LoadError: it is not UTF-8; protobuf then gives bytes.
        """
        if isinstance(name, bytes):
            raise LoadError(f"{what} has a name that is not UTF-8: {name[:40]!r}")
        # One character takes four bytes at most.
        if len(name) * 4 > self.name_bytes and len(name.encode()) > self.name_bytes:
            raise LimitExceeded(
                f"{what} starting with '{name[:40]}' has a name of more than "
                f"{self.name_bytes} bytes"
            )

    def check_dims(self, dims: Sequence[int], item_bytes: int, what: str) -> None:
        """
        Refuse shapes of too many axes, elements or bytes; the dims are >= 0.

        Raises:
            LimitExceeded: a bound is exceeded.
        """
        if len(dims) > self.rank:
            raise LimitExceeded(
                f"{what} has {len(dims)} axes; at most {self.rank} can be"
            )
        if any(d > self.dim for d in dims):
            raise LimitExceeded(f"{what} has a dimension of {max(dims)}")
        nbytes = math.prod(dims) * item_bytes
        if nbytes > self.tensor_bytes:
            raise LimitExceeded(
                f"{what} takes {nbytes} bytes; at most {self.tensor_bytes} are allowed"
            )

    def check_sparse(self, dims: Sequence[int], item_bytes: int, what: str) -> None:
        """
        Refuse sparse tensors that would be too large when they are dense.

        Raises:
            LimitExceeded: a bound is exceeded.
        """
        self.check_dims(dims, item_bytes, what)
        nbytes = math.prod(dims) * item_bytes
        if nbytes > self.sparse_bytes:
            raise LimitExceeded(
                f"{what} is sparse and takes {nbytes} bytes when it is dense; at most "
                f"{self.sparse_bytes} are allowed"
            )


DEFAULT_LIMITS = Limits()
