"""The object that xDSL's plug-in entry point loads, so that `xdsl-opt` knows nnc."""

from xdsl.universe import Universe

from nnc.registry import dialect_factories, pass_factories

NNC_UNIVERSE = Universe(
    all_dialects=dict(dialect_factories()),
    all_passes=dict(pass_factories()),
)
