"""The structure of ONNX graphs: names of nodes, subgraphs, topological order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from heapq import heapify, heappop, heappush

from onnx import AttributeProto, GraphProto, NodeProto

from nnc.errors import ModelError


def node_name(node: NodeProto) -> str:
    """What errors and locations call a node."""
    if node.name:
        return node.name
    output = next((o for o in node.output if o), "")
    return f"{node.op_type}:{output}"


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs in a node's attributes."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH or attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def named_tensors(node: NodeProto) -> list[str]:
    """The tensors that a node reads although they are no inputs: what is derived."""
    if node.op_type != "Gradient" or node.domain != "ai.onnx.preview.training":
        return []
    return [a.s.decode("utf-8", "replace") for a in node.attribute if a.name == "y"]


def ordered_nodes(
    nodes: Sequence[NodeProto],
    defined: set[str],
    outer: Collection[str],
    graph_name: str,
) -> list[NodeProto]:
    """
    The nodes so that each comes after those whose outputs it reads.

    `defined` are the names that the graph has before the first node; it gains all
    outputs. A name in `outer`, of the graphs around, may be defined anew: then it means
    the inner value in all of this graph.

    Raises:
        ModelError: there is a cycle, a name that nothing defines, or one defined twice.
    """
    producers: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in node.output:
            if not name:
                continue
            if name in defined or name in producers:
                raise ModelError(
                    f"node '{node_name(node)}' defines '{name}', which exists already"
                )
            producers[name] = index
    reads = [_names_read(node) for node in nodes]
    in_order = True
    for index, (node, names) in enumerate(zip(nodes, reads, strict=True)):
        for name in names:
            producer = producers.get(name)
            if producer is None and (name in defined or name in outer):
                continue
            if producer is None:
                raise ModelError(
                    f"node '{node_name(node)}' reads '{name}', which nothing defines"
                )
            in_order = in_order and producer < index
    defined.update(producers)
    return list(nodes) if in_order else _sorted(nodes, reads, producers, graph_name)


def _names_read(node: NodeProto) -> list[str]:
    """What a node reads, the outer values that its subgraphs read included."""
    names = [name for name in (*node.input, *named_tensors(node)) if name]
    if node.attribute:
        for graph in subgraphs(node):
            names.extend(outer_names(graph))
    return names


def outer_names(graph: GraphProto) -> set[str]:
    """The names that a subgraph reads from the graphs around it."""
    own = {i.name for i in graph.input}
    own.update(i.name for i in graph.initializer)
    own.update(i.values.name for i in graph.sparse_initializer)
    used = {o.name for o in graph.output}
    for node in graph.node:
        own.update(node.output)
        used.update(node.input)
        if node.attribute:
            for inner in subgraphs(node):
                used.update(outer_names(inner))
    return used - own - {""}


def _sorted(
    nodes: Sequence[NodeProto],
    reads: Sequence[Sequence[str]],
    producers: dict[str, int],
    graph_name: str,
) -> list[NodeProto]:
    users: list[set[int]] = [set() for _ in nodes]
    waiting = [0] * len(nodes)
    for index, names in enumerate(reads):
        for producer in {producers[n] for n in names if n in producers}:
            users[producer].add(index)
            waiting[index] += 1
    ready = [i for i, count in enumerate(waiting) if not count]
    heapify(ready)
    order: list[NodeProto] = []
    while ready:
        index = heappop(ready)
        order.append(nodes[index])
        for user in users[index]:
            waiting[user] -= 1
            if not waiting[user]:
                heappush(ready, user)
    if len(order) != len(nodes):
        stuck = next(n for n, count in zip(nodes, waiting, strict=True) if count)
        raise ModelError(
            f"graph '{graph_name}' has a cycle: node '{node_name(stuck)}' needs its "
            "own output"
        )
    return order
