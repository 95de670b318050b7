"""
The rules of the project that a linter does not know.

Each test names the rule; a failure lists every place that breaks it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from xdsl.ir import Attribute, Operation
from xdsl.passes import ModulePass
from xdsl.pattern_rewriter import RewritePattern
from xdsl.universe import XDSL_UNIVERSE

import nnc
from nnc import registry

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "nnc"

# Frontends of frameworks that an environment need not have.
OPTIONAL_PACKAGES = ("nnc.frontends.torch", "nnc.frontends.tensorflow")

# Who may import what: a package, and the folders of src/nnc that may name it.
IMPORT_PLACES = {
    "llvmlite": ("backend",),
    "onnx": ("frontends/onnx", "integrations"),
    "torch": ("frontends/torch",),
    "tensorflow": ("frontends/tensorflow",),
    "onnxruntime": (),
    "tests": (),
    "typer": ("tools",),
    "rich": ("tools",),
}

# What the parts that run without the compiler may import of nnc.
RUNTIME_IMPORTS = ("nnc.errors", "nnc.runtime", "nnc.symbolic", "nnc.target")

TEXT_FOLDERS = ("src", "tests", "docs", "examples", "scripts", "benchmarks", ".ci")
TEXT_SUFFIXES = {".py", ".md", ".mlir", ".toml", ".sh", ".c", ".yaml", ""}


def source_files(*folders: str) -> list[Path]:
    """The Python files under folders of src/nnc, all of them without an argument."""
    roots = [SRC / folder for folder in folders] or [SRC]
    return sorted(file for root in roots for file in root.rglob("*.py"))


def text_files() -> list[Path]:
    """Every text file that people wrote."""
    # In a second worktree, .git is a file.
    top = [
        p
        for p in ROOT.iterdir()
        if p.is_file() and p.suffix in TEXT_SUFFIXES and p.name != ".git"
    ]
    nested = [
        path
        for folder in TEXT_FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and path.suffix in TEXT_SUFFIXES
        and "__pycache__" not in path.parts
    ]
    return sorted(top + nested)


@cache
def syntax(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def place(path: Path, node: ast.AST | int = 1) -> str:
    """`file:line`, as an editor opens it."""
    line = node if isinstance(node, int) else getattr(node, "lineno", 1)
    return f"{path.relative_to(ROOT)}:{line}"


@cache
def modules() -> tuple[ModuleType, ...]:
    """Every module of nnc that imports without an optional framework."""
    names = [
        info.name
        for info in pkgutil.walk_packages(nnc.__path__, "nnc.", onerror=lambda _: None)
        if not info.name.startswith(OPTIONAL_PACKAGES)
    ]
    return tuple(importlib.import_module(name) for name in sorted(names))


def classes(base: type) -> list[type]:
    """The classes derived from `base` that nnc's modules define."""
    return [
        value
        for module in modules()
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == module.__name__
    ]


def imports(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    """The absolute module names that a file imports when it runs."""
    tree = syntax(path)
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module, node
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node


def run_python(code: str) -> str:
    """What a fresh interpreter prints for `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ---------------------------------------------------------------- the registry


@pytest.mark.parametrize("name", registry.DIALECTS)
def test_registry_dialect_row_loads_and_names_itself(name: str):
    assert registry.load_dialect(name).name == name
    assert name not in XDSL_UNIVERSE.all_dialects, "the name shadows one of xDSL's"


@pytest.mark.parametrize("name", registry.PASSES)
def test_registry_pass_row_loads_and_names_itself(name: str):
    pass_type = registry.load_pass(name)
    assert issubclass(pass_type, ModulePass)
    assert pass_type.name == name
    assert name not in XDSL_UNIVERSE.all_passes, "the name shadows one of xDSL's"


@pytest.mark.parametrize("table", [registry.DIALECTS, registry.PASSES])
def test_registry_rows_are_sorted(table: dict[str, str]):
    assert list(table) == sorted(table)


def test_registry_holds_every_pass():
    held = {registry.load_pass(name) for name in registry.PASSES}
    assert not [
        f"{c.__module__}.{c.__name__}" for c in classes(ModulePass) if c not in held
    ]


# ---------------------------------------------------------------- names and docs


@pytest.mark.parametrize(
    ("base", "suffix"),
    [(Operation, "Op"), (ModulePass, "Pass"), (RewritePattern, "Pattern")],
    ids=["ops", "passes", "patterns"],
)
def test_classes_carry_the_suffix_of_their_kind(base: type, suffix: str):
    wrong = [
        f"{c.__module__}.{c.__name__}"
        for c in classes(base)
        if not c.__name__.endswith(suffix)
    ]
    assert not wrong


@pytest.mark.parametrize(
    "base",
    [Operation, Attribute, ModulePass, RewritePattern],
    ids=["ops", "attributes", "passes", "patterns"],
)
def test_classes_of_the_ir_are_documented(base: type):
    wrong: list[str] = []
    for c in classes(base):
        doc = vars(c).get("__doc__") or ""
        # A dataclass without a docstring gets one that repeats its signature.
        if not doc.strip() or doc.startswith(f"{c.__name__}("):
            wrong.append(f"{c.__module__}.{c.__name__}")
    assert not wrong


def test_dialects_hold_every_op():
    held = {
        op
        for name in registry.DIALECTS
        for op in registry.load_dialect(name).operations
    }
    defined = {c for c in classes(Operation) if "get_irdl_definition" in vars(c)}
    assert not [f"{c.__module__}.{c.__name__}" for c in defined - held]


@pytest.mark.parametrize("name", registry.DIALECTS)
def test_op_names_are_dialect_dot_snake_case(name: str):
    pattern = re.compile(rf"{name}\.[a-z0-9]+(_[a-z0-9]+)*")
    ops = registry.load_dialect(name).operations
    assert not [op.name for op in ops if not pattern.fullmatch(op.name)]


@pytest.mark.parametrize("name", registry.PASSES)
def test_pass_lives_in_the_file_of_its_name(name: str):
    module = registry.PASSES[name].partition(":")[0]
    assert name.replace("-", "_") in module.split(".")


@pytest.mark.parametrize("name", registry.PASSES)
def test_pass_options_each_carry_a_docstring(name: str):
    pass_type = registry.load_pass(name)
    (definition,) = (
        node
        for node in syntax(Path(inspect.getfile(pass_type))).body
        if isinstance(node, ast.ClassDef) and node.name == pass_type.__name__
    )
    undocumented = [
        ast.unparse(statement.target)
        for statement, following in zip(
            definition.body, [*definition.body[1:], None], strict=True
        )
        if isinstance(statement, ast.AnnAssign)
        and "ClassVar" not in ast.unparse(statement.annotation)
        and not _is_string(following)
    ]
    assert not undocumented


def _is_string(node: ast.stmt | None) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def test_modules_say_what_they_are():
    assert not [place(f) for f in source_files() if not ast.get_docstring(syntax(f))]


def test_no_module_is_named_for_nothing():
    empty = {"utils", "util", "misc", "helpers", "helper", "common2", "preprocess"}
    assert not [place(f) for f in source_files() if f.stem in empty]


# ---------------------------------------------------------------- who imports what


@pytest.mark.parametrize("package", IMPORT_PLACES)
def test_package_is_imported_in_its_place_only(package: str):
    allowed = (
        set(source_files(*IMPORT_PLACES[package]))
        if IMPORT_PLACES[package]
        else set[Path]()
    )
    wrong = [
        place(file, node)
        for file in source_files()
        if file not in allowed
        for name, node in imports(file)
        if name.partition(".")[0] == package
    ]
    assert not wrong


def test_runtime_imports_no_compiler_code():
    wrong = [
        f"{place(file, node)}: {name}"
        for file in [*source_files("runtime"), SRC / "errors.py", SRC / "symbolic.py"]
        for name, node in imports(file)
        if name.startswith("xdsl")
        or (name.startswith("nnc.") and not name.startswith(RUNTIME_IMPORTS))
    ]
    assert not wrong


def test_import_nnc_loads_no_compiler_and_no_framework():
    heavy = ("xdsl", "onnx", "torch", "tensorflow", "llvmlite", "typer", "rich")
    code = f"import sys, nnc; print(*(m for m in {heavy} if m in sys.modules))"
    assert run_python(code) == ""


def test_public_names_exist_and_are_sorted():
    assert sorted(nnc.__all__) == list(nnc.__all__)
    assert not [name for name in nnc.__all__ if not hasattr(nnc, name)]


# ---------------------------------------------------------------- habits


def test_passes_neither_print_nor_read_the_environment():
    wrong = [
        place(file, node)
        for file in source_files("dialects", "transforms", "lowering", "interpreters")
        for node in ast.walk(syntax(file))
        if (isinstance(node, ast.Call) and ast.unparse(node.func) == "print")
        or (isinstance(node, ast.Attribute) and ast.unparse(node) == "os.environ")
    ]
    assert not wrong


def test_errors_have_a_type_of_their_own():
    vague = {"Exception", "BaseException", "NotImplementedError", "RuntimeError"}
    wrong = [
        place(file, node)
        for file in source_files()
        for node in ast.walk(syntax(file))
        if isinstance(node, ast.Raise)
        and node.exc is not None
        and ast.unparse(node.exc).partition("(")[0] in vague
    ]
    assert not wrong


# Spelled in parts, so that this file does not break its own rules.
MACHINE_PATH = re.compile(
    r"(?<![\w.~$}])/(?:" + "|".join(("home", "root", "Users", "work")) + r")/\w"
)
OPEN_END = re.compile(
    r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX")) + r")\b"
)
SUPPRESSION = re.compile(r"#\s*(?:pyright:\s*ignore|type:\s*ignore|noqa)\b(.*)")


@pytest.mark.parametrize("rule", [MACHINE_PATH, OPEN_END], ids=["paths", "open-ends"])
def test_text_holds_no_machine_path_and_no_open_end(rule: re.Pattern[str]):
    wrong = [
        place(file, number)
        for file in text_files()
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if rule.search(line)
    ]
    assert not wrong


def test_suppressions_name_their_rule_and_reason():
    wrong: list[str] = []
    for file in [*source_files(), *(ROOT / "tests").rglob("*.py")]:
        lines = file.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            match = SUPPRESSION.search(line)
            if match is None or (file == Path(__file__) and "re.compile" in line):
                continue
            reason = "#" in match[1] or lines[number - 2].lstrip().startswith("#")
            rule = re.match(r"\s*(\[\w|:\s*[A-Z])", match[1])
            if not (reason and rule):
                wrong.append(place(file, number))
    assert not wrong


def test_skipped_tests_give_a_reason():
    marks = ("pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail")
    wrong = [
        place(file, node)
        for file in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(syntax(file))
        if isinstance(node, ast.Call)
        and (
            (
                ast.unparse(node.func) in marks
                and not any(keyword.arg == "reason" for keyword in node.keywords)
            )
            or (ast.unparse(node.func) == "pytest.skip" and not node.args)
        )
    ]
    assert not wrong


def test_tests_are_no_package():
    # The xDSL wheel installs a top-level package `tests`: ours must not be one.
    assert not [place(f) for f in (ROOT / "tests").rglob("__init__.py")]
