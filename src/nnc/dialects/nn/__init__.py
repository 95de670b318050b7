"""The `nn` dialect: tensors with value semantics; what a network computes."""

from __future__ import annotations

from xdsl.ir import Dialect

from nnc.dialects.nn.attention import AttentionOp
from nnc.dialects.nn.control import IfOp, LoopOp
from nnc.dialects.nn.conv import ConvOp, ConvTransposeOp, PoolOp
from nnc.dialects.nn.elementwise import ELEMENTWISE_OPS
from nnc.dialects.nn.linear import LuOp, MatmulOp, PackOp, UnpackOp
from nnc.dialects.nn.movement import (
    BroadcastOp,
    ConcatOp,
    DimCastOp,
    GatherElementsOp,
    GatherOp,
    IotaOp,
    PadOp,
    ReshapeOp,
    ResizeOp,
    SliceOp,
    TransposeOp,
)
from nnc.dialects.nn.program import DefineDimsOp, HostOp, RunStageOp, ValueType
from nnc.dialects.nn.reduction import (
    ArgReduceOp,
    BatchNormOp,
    CumulativeOp,
    LayerNormOp,
    ReduceOp,
    SoftmaxOp,
)
from nnc.dialects.nn.regions import RoiAlignOp, RoiMaxPoolOp
from nnc.dialects.nn.selection import ArgSortOp, CompactOp, ScatterOp, TopKOp
from nnc.dialects.nn.structure import (
    ConstantOp,
    DimsOp,
    DispatchOp,
    RunSeedOp,
    WeightOp,
    YieldOp,
)
from nnc.dialects.nn.suppression import NonMaxSuppressionOp
from nnc.dialects.nn.tiles import TileAttr
from nnc.dialects.nn.types import ShapeAttr
from nnc.dialects.nn.winograd import (
    WinogradFilterOp,
    WinogradInputOp,
    WinogradProductOp,
)

NN = Dialect(
    "nn",
    [
        *ELEMENTWISE_OPS,
        ReshapeOp,
        TransposeOp,
        BroadcastOp,
        DimCastOp,
        SliceOp,
        PadOp,
        ConcatOp,
        GatherOp,
        GatherElementsOp,
        IotaOp,
        ResizeOp,
        MatmulOp,
        PackOp,
        UnpackOp,
        LuOp,
        AttentionOp,
        ConvOp,
        ConvTransposeOp,
        PoolOp,
        WinogradFilterOp,
        WinogradInputOp,
        WinogradProductOp,
        ReduceOp,
        ArgReduceOp,
        CumulativeOp,
        SoftmaxOp,
        ScatterOp,
        TopKOp,
        ArgSortOp,
        NonMaxSuppressionOp,
        RoiAlignOp,
        RoiMaxPoolOp,
        CompactOp,
        LayerNormOp,
        BatchNormOp,
        ConstantOp,
        WeightOp,
        DimsOp,
        RunSeedOp,
        DispatchOp,
        IfOp,
        LoopOp,
        YieldOp,
        DefineDimsOp,
        HostOp,
        RunStageOp,
    ],
    [ShapeAttr, TileAttr, ValueType],
)
