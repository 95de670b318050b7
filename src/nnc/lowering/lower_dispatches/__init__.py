"""
Lower dispatches to kernels: `rt.dispatch` becomes `rt.launch` of a function.

Before::

    rt.dispatch ins(%x : !rt.buffer<..>) outs(%y : !rt.buffer<..>) { nn.relu ... }

After::

    rt.launch @pointwise_0(%x, %y) {dims = #nn.shape<N>, tasks = #nn.shape<..>,
      schedule = "pointwise"} : ...
    func.func @pointwise_0(%a: !simd.ptr<f32>, %b: !simd.ptr<f32>, %n: index,
      %begin: index, %end: index) { ... simd, scf and arith ops ... }

The form of the dispatch (`nnc.analysis.dispatches`) decides the schedule. Equal kernels
are emitted once. On exit there is no `rt.dispatch` and no `nn` op in the module.
"""

from nnc.lowering.lower_dispatches.lower import LowerDispatchesPass

__all__ = ["LowerDispatchesPass"]
