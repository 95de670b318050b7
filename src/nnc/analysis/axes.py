"""
What transposes and reshapes do to axes, as permutations of indivisible atoms.

`[B, S, 768]` reshaped to `[B, S, 12, 64]` and transposed to `[B, 12, S, 64]` has the
atoms `B S 12 64` of its source in the order `B 12 S 64`. Chains of such ops have
the same meaning iff they have the same atoms in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence

from nnc.symbolic import Dim, DimLike, dim_product


class AxisMap:
    """
    The axes of a value as lists of atoms of the source it was made from.

    Axes of size 1 have no atoms.
    """

    def __init__(self, dims: Sequence[DimLike]) -> None:
        """The source itself, `dims` being its shape."""
        self.sizes: list[Dim] = []
        """The size of each atom, by number."""
        self.source: list[int] = []
        """The atoms in the order in which they lie in the source."""
        self.axes: list[list[int]] = []
        """The atoms of each axis, outer ones first."""
        for dim in map(Dim.of, dims):
            atom = [] if dim == 1 else [self._new(dim)]
            self.source += atom
            self.axes.append(atom)

    def _new(self, size: Dim) -> int:
        self.sizes.append(size)
        return len(self.sizes) - 1

    @property
    def order(self) -> list[int]:
        """The atoms in the order of the axes."""
        return [atom for axis in self.axes for atom in axis]

    @property
    def is_row_major(self) -> bool:
        """Whether the value is the source but for its shape."""
        return self.order == self.source

    @property
    def source_dims(self) -> list[Dim]:
        """The shape of the source with an axis for each atom."""
        return [self.sizes[a] for a in self.source]

    @property
    def permutation(self) -> list[int]:
        """What turns a tensor of `source_dims` into the order of the axes."""
        position = {atom: i for i, atom in enumerate(self.source)}
        return [position[atom] for atom in self.order]

    @property
    def dims(self) -> list[Dim]:
        """The shape of the value."""
        return [dim_product(self.sizes[a] for a in axis) for axis in self.axes]

    def transpose(self, permutation: Sequence[int]) -> None:
        """Permute the axes: new axis `i` is old axis `permutation[i]`."""
        self.axes = [self.axes[a] for a in permutation]

    def reshape(self, dims: Sequence[DimLike]) -> bool:
        """
        Give the value another shape; False (and unchanged) if atoms cannot tell how.

        They cannot where a size divides into parts that no proof relates.
        """
        pending = self.order[::-1]
        left = [self.sizes[a] for a in pending]
        axes: list[list[tuple[int, Dim]]] = []
        for wanted in map(Dim.of, dims):
            axis: list[tuple[int, Dim]] = []
            while wanted != 1:
                if not pending:
                    return False
                size = left[-1]
                if size == wanted:
                    axis.append((pending.pop(), left.pop()))
                    wanted = Dim.of(1)
                elif _divides(size, wanted):
                    axis.append((pending.pop(), left.pop()))
                    wanted = wanted // size
                elif _divides(wanted, size):
                    axis.append((pending[-1], wanted))
                    left[-1] = size // wanted
                    wanted = Dim.of(1)
                else:
                    return False
            axes.append(axis)
        if pending:
            return False
        self._install(axes)
        return True

    def _install(self, axes: list[list[tuple[int, Dim]]]) -> None:
        """Take over the axes of a reshape, splitting the atoms that it divides."""
        pieces: dict[int, list[int]] = {}
        for axis in axes:
            for atom, size in axis:
                piece = atom if size == self.sizes[atom] else self._new(size)
                pieces.setdefault(atom, []).append(piece)
        remaining = {atom: list(parts) for atom, parts in pieces.items()}
        self.axes = [[remaining[a].pop(0) for a, _ in axis] for axis in axes]
        self.source = [p for a in self.source for p in pieces[a]]


def _divides(divisor: Dim, dividend: Dim) -> bool:
    return divisor != 0 and (dividend % divisor) == 0


def merged_permutation(
    axis_map: AxisMap,
) -> tuple[list[Dim], list[int]]:
    """
    The smallest reshape and permutation with the meaning of `axis_map`.

    Atoms that stay together are one axis. The value is its source reshaped to the dims,
    transposed by the permutation, and reshaped to its own shape.
    """
    permutation = axis_map.permutation
    runs: list[list[int]] = []
    for position in permutation:
        if runs and runs[-1][-1] + 1 == position:
            runs[-1].append(position)
        else:
            runs.append([position])
    by_source = sorted(runs)
    dims = axis_map.source_dims
    merged = [dim_product(dims[p] for p in run) for run in by_source]
    return merged, [by_source.index(run) for run in runs]
