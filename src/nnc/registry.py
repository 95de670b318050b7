"""
Flat, lazy name tables of nnc's dialects and passes.

A row is a name and a `"module:Object"` string that is imported on demand, so that
listing names costs nothing. Keep the rows of a table sorted: one line each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from xdsl.ir import Dialect
    from xdsl.passes import ModulePass

DIALECTS: Final[Mapping[str, str]] = {
    "llvmx": "nnc.dialects.llvmx:LLVMX",
    "nn": "nnc.dialects.nn:NN",
    "rt": "nnc.dialects.rt:RT",
    "simd": "nnc.dialects.simd:SIMD",
}

PASSES: Final[Mapping[str, str]] = {
    "apply-winograd": "nnc.transforms.apply_winograd:ApplyWinogradPass",
    "block-thin-convs": "nnc.transforms.block_thin_convs:BlockThinConvsPass",
    "bufferize": "nnc.lowering.bufferize.program:BufferizePass",
    "canonicalize-nn": "nnc.transforms.canonicalize_nn:CanonicalizeNnPass",
    "choose-layout": "nnc.transforms.choose_layout:ChooseLayoutPass",
    "convert-rt-to-llvm": "nnc.lowering.convert_rt_to_llvm:ConvertRtToLlvmPass",
    "convert-simd-to-llvm": "nnc.lowering.convert_simd_to_llvm:ConvertSimdToLlvmPass",
    "decompose-nn": "nnc.transforms.decompose_nn:DecomposeNnPass",
    "drop-unused-weights": "nnc.transforms.drop_unused_weights:DropUnusedWeightsPass",
    "eliminate-common-ops": (
        "nnc.transforms.eliminate_common_ops:EliminateCommonOpsPass"
    ),
    "explicit-padding": "nnc.transforms.explicit_padding:ExplicitPaddingPass",
    "finalize-kernel-abi": "nnc.lowering.finalize_kernel_abi:FinalizeKernelAbiPass",
    "fold-batch-norm": "nnc.transforms.fold_batch_norm:FoldBatchNormPass",
    "fold-constants": "nnc.transforms.fold_constants:FoldConstantsPass",
    "form-dispatches": "nnc.transforms.form_dispatches:FormDispatchesPass",
    "lower-dispatches": "nnc.lowering.lower_dispatches:LowerDispatchesPass",
    "pack-weights": "nnc.transforms.pack_weights:PackWeightsPass",
    "plan-arena": "nnc.lowering.plan_arena:PlanArenaPass",
    "raise-attention": "nnc.transforms.raise_attention:RaiseAttentionPass",
    "set-tiles": "nnc.transforms.set_tiles:SetTilesPass",
    "simplify-control-flow": (
        "nnc.transforms.simplify_control_flow:SimplifyControlFlowPass"
    ),
    "split-reductions": "nnc.transforms.split_reductions:SplitReductionsPass",
    "split-stages": "nnc.transforms.split_stages:SplitStagesPass",
    "verify-dispatched": "nnc.transforms.verify_dispatched:VerifyDispatchedPass",
    "widen-floats": "nnc.transforms.widen_floats:WidenFloatsPass",
}


def load(path: str) -> object:
    """The object that a `"module:Object"` row names."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def load_dialect(name: str) -> Dialect:
    """The dialect of that name."""
    return cast("Dialect", load(DIALECTS[name]))


def load_pass(name: str) -> type[ModulePass]:
    """The class of the pass of that name."""
    return cast("type[ModulePass]", load(PASSES[name]))


def dialect_factories() -> dict[str, Callable[[], Dialect]]:
    """One function a dialect, as xDSL's `Context.register_dialect` takes them."""
    return {name: lambda name=name: load_dialect(name) for name in DIALECTS}


def pass_factories() -> dict[str, Callable[[], type[ModulePass]]]:
    """One function a pass, as xDSL's `PassPipeline.parse_spec` takes them."""
    return {name: lambda name=name: load_pass(name) for name in PASSES}
