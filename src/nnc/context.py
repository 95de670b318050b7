"""The compilation context: xDSL's, plus the weights that travel with a module."""

from __future__ import annotations

from dataclasses import dataclass, field

from xdsl.context import Context

from nnc.weights import WeightStore


@dataclass
class NncContext(Context):
    """A context whose passes can read and add weight resources."""

    weights: WeightStore = field(default_factory=WeightStore)
    external_files: tuple[str, ...] = ()
    """Files beside the imported model that its weights came from."""

    def clone(self) -> NncContext:
        """A copy; the clone's new weights do not show in the original."""
        base = super().clone()
        return NncContext(
            **{name: value for name, value in vars(base).items()},
            weights=self.weights.copy(),
            external_files=self.external_files,
        )


def weights_of(ctx: Context) -> WeightStore:
    """The weight store of a context; an empty one for a plain xDSL context."""
    return ctx.weights if isinstance(ctx, NncContext) else WeightStore()
