"""A network inside the compiler, at any level: its IR and its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import PassPipeline
from xdsl.printer import Printer
from xdsl.universe import XDSL_UNIVERSE
from xdsl.utils.exceptions import DiagnosticException, ParseError, VerifyException

from nnc import pipelines, registry
from nnc.context import NncContext
from nnc.errors import CompileError, LoadError, VerifyError
from nnc.parsing import NncParser
from nnc.weights import Array, WeightStore

if TYPE_CHECKING:
    from xdsl.passes import ModulePass
    from xdsl.utils.arg_spec import ArgSpec


class Module:
    """
    A network as xDSL IR, with its weights.

    `str(module)` is its text, which `Module.parse` reads; weights are separate because
    they are large. `apply` runs passes, `interpret` computes what the network means
    (at the `nn` level), `nnc.compile` takes a module at any stage.

    Example::

        module = nnc.convert("model.onnx").apply("nnc-nn")
        print(module)
        (y,) = module.interpret([x])
    """

    def __init__(self, ir: ModuleOp, context: NncContext) -> None:
        """A module around IR whose weights are in the context."""
        self.ir = ir
        """The IR; changing it changes the module."""
        self.context = context
        """The xDSL context in which passes run."""

    @property
    def weights(self) -> WeightStore:
        """The bytes of the weights that the IR names."""
        return self.context.weights

    # ---- text and files

    @staticmethod
    def parse(text: str, weights: Mapping[str, Array] | None = None) -> Module:
        """
        The module of a text as `str(module)` gives it.

        Raises:
            LoadError: the text is no valid module.
        """
        context = new_context()
        for name, array in (weights or {}).items():
            context.weights.add(name, array)
        try:
            ir = NncParser(context, text).parse_module()
            ir.verify()
        except (ParseError, DiagnosticException) as error:
            raise LoadError(f"not a valid module: {error}") from error
        return Module(ir, context)

    def __str__(self) -> str:
        stream = StringIO()
        Printer(stream=stream).print_op(self.ir)
        return stream.getvalue() + "\n"

    def save(self, path: str | Path) -> None:
        """Write the text to `path`, and the weights beside it as `.safetensors`."""
        from nnc.weight_files import save_weights

        path = Path(path)
        path.write_text(str(self), encoding="utf-8")
        arrays = {name: self.weights[name] for name in self.weights}
        save_weights(path.with_suffix(".safetensors"), arrays)

    @staticmethod
    def load(path: str | Path) -> Module:
        """
        The module that `save` wrote to `path`.

        Raises:
            LoadError: the file is no module.
            OSError: there is no such file.
        """
        from nnc.weight_files import load_weights

        path = Path(path)
        weights = path.with_suffix(".safetensors")
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise LoadError(f"{path} is no text: {error}") from error
        return Module.parse(text, load_weights(weights) if weights.exists() else None)

    # ---- passes

    def apply(self, pipeline: str) -> Module:
        """
        The module after a textual pipeline, such as `"canonicalize-nn,cse"`.

        This module stays as it is.

        Raises:
            CompileError: the pipeline has an unknown pass, or a pass failed.
        """
        result = Module(self.ir.clone(), self.context.clone())
        for spec in pipelines.expand(pipeline):
            run_pass(result, make_pass(spec))
        verify(result, f"pipeline '{pipeline}'")
        return result

    # ---- meaning

    def interpret(self, inputs: Sequence[Array] | Mapping[str, Array]) -> list[Array]:
        """
        What the network gives for `inputs`, by the reference interpreter in numpy.

        Raises:
            InputError: the inputs do not fit.
            RunError: the data made an op fail.
        """
        from nnc.interpreters.nn import run_module

        return run_module(self.ir, self.weights, inputs)


def new_context() -> NncContext:
    """A context that knows the dialects of nnc and of xDSL."""
    context = NncContext()
    for name, factory in {
        **XDSL_UNIVERSE.all_dialects,
        **registry.dialect_factories(),
    }.items():
        context.register_dialect(name, factory)
    return context


def make_pass(spec: ArgSpec) -> ModulePass:
    """
    The pass of a name and options.

    Raises:
        CompileError: there is no such pass, or it has no such option.
    """
    name = spec.name
    if name in registry.PASSES:
        kind = registry.load_pass(name)
    elif name in XDSL_UNIVERSE.all_passes:
        kind = XDSL_UNIVERSE.all_passes[name]()
    else:
        raise CompileError(f"unknown pass '{name}'; nnc-opt --list-passes shows them")
    try:
        return kind.from_spec(spec)
    except ValueError as error:
        raise CompileError(f"pass '{name}': {error}") from error


def run_pass(module: Module, pass_: ModulePass) -> None:
    """
    Run one pass in place.

    Raises:
        CompileError: the module is not what the pass works on.
    """
    try:
        PassPipeline((pass_,)).apply(module.context, module.ir)
    except (DiagnosticException, VerifyException) as error:
        raise CompileError(f"pass '{pass_.name}': {error}") from error


def verify(module: Module, after: str) -> None:
    """
    Check all of a module's IR.

    Raises:
        VerifyError: something is not valid.
    """
    try:
        module.ir.verify()
    except (DiagnosticException, VerifyException) as error:
        raise VerifyError(f"the module is not valid after {after}: {error}") from error
