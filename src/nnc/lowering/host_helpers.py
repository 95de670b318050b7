"""The functions that the host function calls, and what they are made with."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.builder import Builder
from xdsl.dialects import llvm
from xdsl.dialects.builtin import IntegerAttr, i32, i64
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.rewriter import InsertPoint

from nnc.lowering.host_program import UPDATE_WORDS
from nnc.runtime.artifact import RECORD_WORDS
from nnc.runtime.state import LOG_ENTRY_WORDS, LOG_HEADER_WORDS, ErrorCode, StateWord

LAUNCH = "nnc_launch"
"""The function that runs one launch."""

UPDATE = "nnc_update"
"""The function that carries out updates of the table."""

REFUSE = "nnc_refuse"
"""The function that looks at a guard."""

STAMP = "nnc_stamp"
"""The function that writes the time to the log."""

CLOCK = "clock_gettime"
_CLOCK_MONOTONIC = 1
"""Linux's number of the clock of `time.perf_counter`."""

_PTR = llvm.LLVMPointerType()
_INTERNAL = llvm.LinkageAttr("internal")


def launch_function() -> llvm.FuncOp:
    """Run a kernel on the tasks of its record at `begin`, or on none after a stop."""
    entry = Block(arg_types=[_PTR, _PTR, i64, i64, _PTR])
    run, ask, share, alone, stop = (Block() for _ in range(5))
    state, table, begin, index, kernel = entry.args
    builder = Builder(InsertPoint.at_end(entry))
    is_stopped = compare(builder, "ne", stopped(builder, state), constant(builder, 0))
    builder.insert(llvm.CondBrOp(is_stopped, stop, (), run, ()))

    builder = Builder(InsertPoint.at_end(run))
    builder.insert(llvm.StoreOp(index, word(builder, state, StateWord.LAUNCH)))
    builder.insert(llvm.CallOp(STAMP, state, index))
    record = llvm.GEPOp(table, [llvm.GEP_USE_SSA_VAL], i64, [begin])
    builder.insert(record)
    tasks = load(builder, record.result)
    ways = load(builder, word(builder, record.result, 1))
    slots = word(builder, record.result, RECORD_WORDS)
    are_many = compare(builder, "ugt", ways, constant(builder, 1))
    builder.insert(llvm.CondBrOp(are_many, ask, (), alone, ()))

    builder = Builder(InsertPoint.at_end(ask))
    function = word(builder, state, StateWord.PARALLEL)
    parallel = builder.insert(llvm.LoadOp(function, _PTR)).dereferenced_value
    address = builder.insert(llvm.PtrToIntOp(parallel, i64)).output
    has_pool = compare(builder, "ne", address, constant(builder, 0))
    builder.insert(llvm.CondBrOp(has_pool, share, (), alone, ()))

    builder = Builder(InsertPoint.at_end(share))
    _call(builder, parallel, kernel, slots, tasks, ways)
    builder.insert(llvm.ReturnOp())

    builder = Builder(InsertPoint.at_end(alone))
    _call(builder, kernel, slots, constant(builder, 0), tasks)
    builder.insert(llvm.ReturnOp())

    Builder(InsertPoint.at_end(stop)).insert(llvm.ReturnOp())
    blocks = [entry, run, ask, share, alone, stop]
    return _helper(LAUNCH, [_PTR, _PTR, i64, i64, _PTR], blocks)


def _call(builder: Builder, function: SSAValue, *arguments: SSAValue) -> None:
    """Call a function by its address."""
    op = llvm.CallOp("", function, *arguments)
    del op.properties["callee"]
    builder.insert(op)


def clock_declaration() -> llvm.FuncOp:
    """The clock of the C library."""
    type_ = llvm.LLVMFunctionType([i32, _PTR], i32)
    return llvm.FuncOp(CLOCK, type_, linkage=llvm.LinkageAttr("external"))


def stamp_function() -> llvm.FuncOp:
    """
    `@nnc_stamp(state, number)`: add number and time to the log, if one is wanted.

    A log counts entries that it has no room for, but does not hold them.
    """
    entry = Block(arg_types=[_PTR, i64])
    state, number = entry.args
    add, write, done = Block(), Block(), Block()
    b = Builder(InsertPoint.at_end(entry))
    address = load(b, word(b, state, StateWord.LOG))
    is_wanted = compare(b, "ne", address, constant(b, 0))
    b.insert(llvm.CondBrOp(is_wanted, add, (), done, ()))
    b = Builder(InsertPoint.at_end(add))
    log = b.insert(llvm.IntToPtrOp(address)).output
    count, capacity = load(b, log), load(b, word(b, log, 1))
    following = b.insert(llvm.AddOp(count, constant(b, 1))).res
    b.insert(llvm.StoreOp(following, log))
    has_room = compare(b, "slt", count, capacity)
    b.insert(llvm.CondBrOp(has_room, write, (), done, ()))
    b = Builder(InsertPoint.at_end(write))
    offset = b.insert(llvm.MulOp(count, constant(b, LOG_ENTRY_WORDS))).res
    place = element(b, word(b, log, LOG_HEADER_WORDS), offset)
    b.insert(llvm.StoreOp(number, place))
    kind = b.insert(llvm.ConstantOp(IntegerAttr(_CLOCK_MONOTONIC, i32), i32)).result
    b.insert(llvm.CallOp(CLOCK, kind, word(b, place, 1), return_type=i32))
    b.insert(llvm.BrOp(done))
    Builder(InsertPoint.at_end(done)).insert(llvm.ReturnOp())
    return _helper(STAMP, [_PTR, i64], [entry, add, write, done])


def update_function() -> llvm.FuncOp:
    """`@nnc_update(table, begin, count, number)`: carry out updates of the table."""
    entry = Block(arg_types=[_PTR, i64, i64, i64])
    table, begin, count, number = entry.args
    loop, done = Block(arg_types=[i64]), Block()
    b = Builder(InsertPoint.at_end(entry))
    b.insert(llvm.BrOp(loop, constant(b, 0)))
    b = Builder(InsertPoint.at_end(loop))
    position = loop.args[0]
    size = constant(b, UPDATE_WORDS)
    offset = b.insert(llvm.MulOp(position, size)).res
    at = b.insert(llvm.AddOp(begin, offset)).res
    record = element(b, table, at)
    target, start, step, swing = (load(b, word(b, record, i)) for i in range(4))
    walked = b.insert(llvm.MulOp(number, step)).res
    parity = b.insert(llvm.AndOp(number, constant(b, 1))).res
    swung = b.insert(llvm.MulOp(parity, swing)).res
    value = b.insert(llvm.AddOp(start, walked)).res
    value = b.insert(llvm.AddOp(value, swung)).res
    b.insert(llvm.StoreOp(value, element(b, table, target)))
    following = b.insert(llvm.AddOp(position, constant(b, 1))).res
    again = compare(b, "slt", following, count)
    b.insert(llvm.CondBrOp(again, loop, (following,), done, ()))
    Builder(InsertPoint.at_end(done)).insert(llvm.ReturnOp())
    return _helper(UPDATE, [_PTR, i64, i64, i64], [entry, loop, done])


def refuse_function() -> llvm.FuncOp:
    """`@nnc_refuse(state, refused)`: an error, unless the word of a guard is zero."""
    entry = Block(arg_types=[_PTR, i64])
    state, refused = entry.args
    refuse, done = Block(), Block()
    b = Builder(InsertPoint.at_end(entry))
    # The first error counts.
    earlier = stopped(b, state)
    zero = constant(b, 0)
    is_refused = compare(b, "ne", refused, zero)
    is_running = compare(b, "eq", earlier, zero)
    both = b.insert(llvm.AndOp(is_refused, is_running)).res
    b.insert(llvm.CondBrOp(both, refuse, (), done, ()))
    b = Builder(InsertPoint.at_end(refuse))
    site = b.insert(llvm.SubOp(refused, constant(b, 1))).res
    b.insert(llvm.StoreOp(site, word(b, state, StateWord.SITE)))
    code = constant(b, ErrorCode.SIZE_MISMATCH)
    b.insert(llvm.StoreOp(code, word(b, state, StateWord.ERROR)))
    b.insert(llvm.BrOp(done))
    Builder(InsertPoint.at_end(done)).insert(llvm.ReturnOp())
    return _helper(REFUSE, [_PTR, i64], [entry, refuse, done])


def _helper(
    name: str, inputs: Sequence[Attribute], blocks: Sequence[Block]
) -> llvm.FuncOp:
    type_ = llvm.LLVMFunctionType(list(inputs))
    return llvm.FuncOp(name, type_, linkage=_INTERNAL, body=Region(list(blocks)))


def constant(builder: Builder, value: int) -> SSAValue:
    """A number."""
    return builder.insert(llvm.ConstantOp(IntegerAttr(value, i64), i64)).result


def word(builder: Builder, pointer: SSAValue, index: int) -> SSAValue:
    """The address of a word."""
    return builder.insert(llvm.GEPOp(pointer, [index], i64)).result


def load(builder: Builder, pointer: SSAValue) -> SSAValue:
    """The word at an address."""
    return builder.insert(llvm.LoadOp(pointer, i64)).dereferenced_value


def element(builder: Builder, pointer: SSAValue, index: SSAValue) -> SSAValue:
    return builder.insert(
        llvm.GEPOp(pointer, [llvm.GEP_USE_SSA_VAL], i64, [index])
    ).result


def compare(builder: Builder, how: str, lhs: SSAValue, rhs: SSAValue) -> SSAValue:
    """A comparison of two numbers."""
    predicate = llvm.ICmpPredicateFlag(how).to_int()
    return builder.insert(llvm.ICmpOp(lhs, rhs, IntegerAttr(predicate, i64))).res


def stopped(builder: Builder, state: SSAValue) -> SSAValue:
    """Not zero after an error or a cancellation."""
    cancel = load(builder, word(builder, state, StateWord.CANCEL))
    error = load(builder, word(builder, state, StateWord.ERROR))
    return builder.insert(llvm.OrOp(cancel, error)).res
