"""
Write the pages of docs/reference from the code.

    python scripts/generate_reference.py [--check]

With --check nothing is written; the exit code is 1 if a page is not what it would
write. `make docs` runs it.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Final, cast

from conformance_counts import Counts, counts
from xdsl.dialects.builtin import (
    AnyFloat,
    ArrayAttr,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    StringAttr,
    SymbolRefAttr,
    VectorType,
)
from xdsl.ir import Attribute, Operation, TypeAttribute
from xdsl.irdl import (
    AllOf,
    AnyAttr,
    AnyOf,
    BaseAttr,
    EqAttrConstraint,
    IRDLOperation,
    OpDef,
    OptionalDef,
    ParamAttrConstraint,
    RangeLengthConstraint,
    RangeOf,
    VarConstraint,
    VariadicDef,
)
from xdsl.passes import get_pass_option_infos

from nnc import registry
from nnc.dialects.nn.base import Elements, NnOp
from nnc.frontends.onnx import registry as converters
from nnc.frontends.onnx.standard_functions import ops_with_functions, standard_ops
from nnc.pipelines import PIPELINES, PipelineOptions, steps

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / "docs" / "reference"

GENERATED: Final = "<!-- Written by scripts/generate_reference.py: run `make docs`. -->"

# ---------------------------------------------------------------- text


def module_of(thing: type | Callable[..., object]) -> ModuleType:
    """The module that defines a class or a function."""
    return import_module(thing.__module__)


@cache
def syntax(module: ModuleType) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(inspect.getsource(module))


def doc_of(thing: object) -> str:
    """The docstring of a thing, `::` examples as fenced blocks."""
    lines = inspect.cleandoc(getattr(thing, "__doc__", None) or "").splitlines()
    result: list[str] = []
    block: list[str] | None = None
    for line in [*lines, "end"]:
        if block is not None:
            if not line or line.startswith("    "):
                block.append(line)
                continue
            code = textwrap.dedent("\n".join(block)).strip("\n")
            result += ["", "```mlir", *code.splitlines(), "```", ""]
            block = None
        if line.endswith("::"):
            result.append(line[:-1])
            block = []
        else:
            result.append(line)
    return "\n".join(result[:-1]).strip()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return [f"| {' | '.join(line)} |" for line in escaped]


def page(title: str, introduction: str, body: Sequence[str]) -> str:
    """A page with its head."""
    head = [f"# {title}", "", GENERATED, "", introduction.strip(), ""]
    text = "\n".join([*head, *body])
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


# ---------------------------------------------------------------- dialects

_PLAIN_NAMES: Final[Mapping[type[Attribute], str]] = {
    ArrayAttr: "array",
    DenseArrayBase: "integers",
    DenseIntOrFPElementsAttr: "dense",
    FloatAttr: "float",
    IntegerAttr: "integer",
    IntegerType: "integer",
    StringAttr: "string",
    SymbolRefAttr: "symbol",
}

_FLOATS: Final = frozenset(AnyFloat.__args__)

VECTOR_OF: Final = "vector of "

_SEGMENTS: Final = frozenset({"operandSegmentSizes", "resultSegmentSizes"})
"""What the other properties and the operands already say."""


def name_of(kind: type[Attribute]) -> str:
    """How the pages call a class of attributes or types."""
    if kind in _PLAIN_NAMES:
        return _PLAIN_NAMES[kind]
    if "." not in kind.name:
        return kind.name
    return ("!" if issubclass(kind, TypeAttribute) else "#") + kind.name


def alternatives(constraint: object) -> list[str]:
    """What a constraint accepts, one entry an alternative."""
    match constraint:
        case RangeLengthConstraint(constraint=inner) | RangeOf(constr=inner):
            return alternatives(inner)
        case VarConstraint(name=name):
            return [f"`{name}`"]
        case AnyOf(attr_constrs=parts):
            return list(dict.fromkeys(a for part in parts for a in alternatives(part)))
        case AllOf(attr_constrs=parts):
            return alternatives(parts[-1])
        case EqAttrConstraint(attr=attribute):
            return [str(attribute)]
        case ParamAttrConstraint(base_attr=base) if base is VectorType:
            inner = alternatives(constraint.param_constrs[0])
            return [VECTOR_OF + a for a in inner]
        case ParamAttrConstraint(base_attr=base) if base is IntegerAttr:
            return alternatives(constraint.param_constrs[1])
        case ParamAttrConstraint(base_attr=base):
            return [name_of(base)]
        case BaseAttr(attr=kind):
            return ["float" if kind in _FLOATS else name_of(kind)]
        case AnyAttr():
            return ["any"]
        case _:
            raise TypeError(f"no words for the constraint {constraint}")


def words(constraint: object) -> str:
    """What a constraint accepts."""
    parts = alternatives(constraint)
    scalars = [part for part in parts if not part.startswith(VECTOR_OF)]
    vectors = [part.removeprefix(VECTOR_OF) for part in parts if part not in scalars]
    if not vectors:
        return " or ".join(scalars)
    others = [part for part in scalars if part not in vectors]
    text = f"{' or '.join(vectors)}, scalar or vector"
    return "; ".join([text, *others])


def type_variables(definitions: Iterable[object]) -> dict[str, str]:
    """The type variables of the constraints, and what they may stand for."""
    result: dict[str, str] = {}
    for definition in definitions:
        constraint = getattr(definition, "constr", None)
        while isinstance(constraint, RangeLengthConstraint | RangeOf):
            inner = cast("RangeLengthConstraint[Attribute]", constraint)
            constraint = getattr(inner, "constraint", getattr(inner, "constr", None))
        if isinstance(constraint, VarConstraint):
            variable = cast("VarConstraint[Attribute]", constraint)
            result[variable.name] = words(variable.constraint)
    return result


def field_text(name: str, definition: object) -> str:
    """One operand, property or result."""
    constraint = getattr(definition, "constr", None)
    kind = words(constraint) if constraint is not None else "region"
    marks = ""
    if isinstance(definition, OptionalDef):
        marks = ", optional"
    elif isinstance(definition, VariadicDef):
        marks = ", any number"
    default = getattr(definition, "default_value", None)
    if default is not None:
        marks += f", default `{default}`"
    return f"`{name}` ({kind}{marks})"


def op_lines(op: type[Operation]) -> list[str]:
    """The section of one op."""
    definition: OpDef = cast("type[IRDLOperation]", op).get_irdl_definition()
    groups: list[tuple[str, list[tuple[str, object]]]] = [
        ("Operands", list(definition.operands)),
        (
            "Properties",
            [p for p in definition.properties.items() if p[0] not in _SEGMENTS],
        ),
        ("Results", list(definition.results)),
        ("Regions", list(definition.regions)),
    ]
    fields = [
        f"- {title}: {', '.join(field_text(name, d) for name, d in entries)}"
        for title, entries in groups
        if entries
    ]
    variables = type_variables(d for _, entries in groups for _, d in entries)
    fields += [f"- `{name}`: {kind}" for name, kind in variables.items()]
    if issubclass(op, NnOp) and op.ELEMENTS is not Elements.ANY:
        fields.append(f"- Elements: {op.ELEMENTS.value}")
    return [f"#### `{op.name}`", "", doc_of(op), "", *fields, ""]


def attribute_lines(attribute: type[Attribute]) -> list[str]:
    """The section of one attribute or type."""
    return [f"#### `{name_of(attribute)}`", "", doc_of(attribute), ""]


def dialects_page() -> str:
    """Every op, attribute and type of nnc's dialects."""
    body: list[str] = []
    for name in registry.DIALECTS:
        dialect = registry.load_dialect(name)
        where = import_module(registry.DIALECTS[name].partition(":")[0])
        body += [f"## `{name}`", "", *_described(where)]
        kinds = sorted(dialect.attributes, key=lambda a: a.name)
        if kinds:
            body += ["### Attributes and types", ""]
        for attribute in kinds:
            body += attribute_lines(attribute)
        groups: dict[ModuleType, list[type[Operation]]] = {}
        for op in dialect.operations:
            groups.setdefault(module_of(op), []).append(op)
        for module, ops in groups.items():
            if module is not where:
                title = module.__name__.rpartition(".")[2].replace("_", " ")
                body += [f"### {name}: {title}", "", *_described(module)]
            for op in ops:
                body += op_lines(op)
    introduction = """
Every op of nnc's own dialects: what it means, and what it takes and gives. A letter
such as `T` stands for one type, the same wherever an op names it. The number types,
`func`, `scf`, `arith` and `llvm` are xDSL's.
"""
    return page("Dialects", introduction, body)


def _described(module: ModuleType) -> list[str]:
    text = re.sub(r"^The `\w+` dialect: (\w)", lambda m: m[1].upper(), doc_of(module))
    return [text, ""]


# ---------------------------------------------------------------- passes


def pass_lines(name: str) -> list[str]:
    """The section of one pass."""
    # A package that only hands on the class holds the description.
    module = import_module(registry.PASSES[name].partition(":")[0])
    text = re.sub(rf"^(Pass )?`?{name}`?: (\w)", lambda m: m[2].upper(), doc_of(module))
    return [
        *(f"## `{name}`", "", f"*{_position(name)}*", "", text, ""),
        *_option_lines(name),
        "",
    ]


def _position(name: str) -> str:
    order = steps("nnc-default", PipelineOptions())
    places = [n for n, step in enumerate(order, 1) if step.spec.name == name]
    if not places:
        return "In no pipeline."
    stages = dict.fromkeys(str(order[n - 1].stage) for n in places)
    numbers = ", ".join(map(str, places))
    return f"Stage {', '.join(stages)}; step {numbers} of {len(order)} of nnc-default."


def _option_lines(name: str) -> list[str]:
    pass_type = registry.load_pass(name)
    docs = option_docs(pass_type)
    rows = [
        [
            f"`{option.name.replace('_', '-')}`",
            option.expected_type.strip("'"),
            "required" if option.default_value is None else f"`{option.default_value}`",
            docs[option.name],
        ]
        for option in get_pass_option_infos(pass_type)
    ]
    return table(("option", "type", "default", "meaning"), rows) if rows else []


def option_docs(pass_type: type) -> dict[str, str]:
    """The docstrings below the fields of a pass."""
    for node in syntax(module_of(pass_type)).body:
        if isinstance(node, ast.ClassDef) and node.name == pass_type.__name__:
            pairs = zip(node.body, node.body[1:], strict=False)
            return {
                ast.unparse(field.target): inspect.cleandoc(str(text.value.value))
                for field, text in pairs
                if isinstance(field, ast.AnnAssign)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            }
    raise LookupError(pass_type.__name__)


def passes_page() -> str:
    """Every pass and every pipeline."""
    body = ["## Pipelines", ""]
    ordered: dict[str, None] = {}
    for name, make in PIPELINES.items():
        body += [f"### `{name}`", "", doc_of(make), "", "```text"]
        for stage, specs in make(PipelineOptions()).items():
            names = [spec.name for spec in specs]
            ordered.update(dict.fromkeys(names))
            filled = textwrap.wrap(", ".join(names), 78, break_on_hyphens=False)
            body += [f"{stage}:", *(f"  {line}" for line in filled)]
        body += ["```", ""]
    rest = [name for name in registry.PASSES if name not in ordered]
    for name in [*ordered, *rest]:
        body += pass_lines(name)
    introduction = """
The passes in the order in which `nnc.compile` runs them. Each runs alone in `nnc-opt`
too: `nnc-opt FILE -p 'PASS{option=value},PASS'`. The passes of xDSL (`cse`, `dce`, …)
can stand between them. A pipeline takes options in the same way:
`--pipeline='nnc-default{target=avx2}'`.
"""
    return page("Passes", introduction, body)


# ---------------------------------------------------------------- ONNX ops


def plain_function(convert: object) -> Callable[..., object]:
    """The function below partial applications."""
    while isinstance(convert, partial):
        convert = cast("partial[object]", convert).func
    assert inspect.isfunction(convert)
    return convert


def refusals(function: Callable[..., object]) -> list[str]:
    """The reasons for which a converter, or a helper of its, gives up."""
    module = module_of(function)
    known = {n.name: n for n in syntax(module).body if isinstance(n, ast.FunctionDef)}
    todo, seen, reasons = [function.__name__], set[str](), dict[str, None]()
    while todo:
        name = todo.pop(0)
        if name in seen or name not in known:
            continue
        seen.add(name)
        for node in ast.walk(known[name]):
            if isinstance(node, ast.Name):
                todo.append(node.id)
            reasons.update(dict.fromkeys(_reasons(node)))
    return list(reasons)


def _reasons(node: ast.AST) -> Iterator[str]:
    if not (
        isinstance(node, ast.Call) and ast.unparse(node.func) == "UnsupportedError"
    ):
        return
    (argument,) = node.args
    parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
    yield "".join(
        str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts
    )


def op_row(domain: str, op_type: str, cases: Counts) -> list[str]:
    """The row of one ONNX op with a converter."""
    entries = converters.entries_of(domain, op_type)
    since = ", ".join(str(entry.since) for entry in entries)
    functions = [plain_function(entry.convert) for entry in entries]
    reasons = dict.fromkeys(r for f in functions for r in refusals(f))
    counted = cases.text(domain, op_type)
    return [f"`{op_type}`", since, counted, "; ".join(reasons)]


def title_of(domain: str) -> str:
    """How a domain is called where it must have a name."""
    return domain or "ai.onnx"


def host_ops() -> Mapping[tuple[str, str], Sequence[int]]:
    """The opset versions of the ops that run on the host, where there are any."""
    if find_spec("nnc.runtime.host_ops") is None:
        return {}
    module = import_module("nnc.runtime.host_ops.registry")
    return cast("Mapping[tuple[str, str], Sequence[int]]", module.supported_host_ops())


def function_lines(cases: Counts) -> list[str]:
    """The section of the ops that the standard defines by functions."""
    rows = [
        [f"`{name}`", title_of(domain), cases.text(domain, name)]
        for domain, name in ops_with_functions()
    ]
    text = "No converter: the function of other ops by which the standard defines them."
    head = ["## By the standard's functions", "", text, ""]
    return [*head, *table(("op", "domain", "cases"), rows), ""]


def host_lines(cases: Counts) -> list[str]:
    """The section of the ops that run on the host."""
    rows = [
        [
            f"`{name}`",
            title_of(domain),
            ", ".join(map(str, versions)),
            cases.text(domain, name),
        ]
        for (domain, name), versions in sorted(host_ops().items())
    ]
    if not rows:
        return []
    text = """
Python code between compiled parts runs these where tensors of strings, sequences,
optionals or maps are involved, or shapes that nothing tells beforehand.
"""
    head = ["## On the host", "", text.strip(), ""]
    return [*head, *table(("op", "domain", "from opset", "cases"), rows), ""]


def missing_lines(cases: Counts) -> list[str]:
    """The section of the standard's ops that there are not."""
    supported = converters.supported_ops()
    known = {*supported, *ops_with_functions(), *host_ops()}
    rows = [
        [f"`{name}`", title_of(domain), cases.text(domain, name)]
        for domain, name in standard_ops()
        if (domain, name) not in known
    ]
    if not rows:
        return []
    head = ["## Not supported", "", "What is left of the standard.", ""]
    return [*head, *table(("op", "domain", "cases"), rows), ""]


def ops_page() -> str:
    """Every ONNX op: converted, defined by a function, run on the host, or missing."""
    supported, cases = converters.supported_ops(), counts()
    body: list[str] = []
    for domain in dict.fromkeys(domain for domain, _ in supported):
        names = [op_type for d, op_type in supported if d == domain]
        body += [f"## {title_of(domain)}", "", f"{len(names)} ops.", ""]
        rows = [op_row(domain, name, cases) for name in names]
        body += [*table(("op", "from opset", "cases", "refused"), rows), ""]
    body += [*function_lines(cases), *host_lines(cases), *missing_lines(cases)]
    introduction = f"""
The ops that the ONNX frontend converts. A number under *from opset* is a version of the
op's domain from which a converter holds, up to the next number or the newest version.
*Cases* counts those of the `onnx` package's backend suite that pass, of all whose model
holds the op: {cases.cases - cases.failures} of {cases.cases} pass in all.
*Refused* quotes the reasons for which the converter gives up on a node. In general,
shapes, axes, pads and the like must be constant or computed from the shapes of inputs,
not from their data (unless values are given for these inputs: `input_values`). A model
with ops that are not supported is refused with a list of all their nodes.

Ops of `com.microsoft` are compared with ONNX Runtime. Products of quantized matrices
are exact in integers. Quantized elementwise ops, softmax and pools are dequantized,
computed in single precision and quantized again, ties to even; a result that lies next
to a tie may be the neighbouring number in ONNX Runtime, which multiplies some scales
beforehand. Weights of few bits (`MatMulNBits`, `MatMulBnb4`) must be constant: they are
dequantized when the model is imported, and take the memory of floats from then on.
"""
    return page("Supported ONNX ops", introduction, body)


# ---------------------------------------------------------------- the command

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "dialects.md": dialects_page,
    "passes.md": passes_page,
    "supported-ops.md": ops_page,
}


def stale_pages(folder: Path) -> list[str]:
    """The pages in `folder` that are missing or not what the code says."""
    return [
        name
        for name, make in PAGES.items()
        if not (folder / name).is_file()
        or (folder / name).read_text(encoding="utf-8") != make()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the pages; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="where the pages are"
    )
    options = parser.parse_args(arguments)
    folder: Path = options.folder
    if options.check:
        stale = stale_pages(folder)
        for name in stale:
            print(f"{folder / name} is out of date: run `make docs`", file=sys.stderr)
        return 1 if stale else 0
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (folder / name).write_text(make(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
