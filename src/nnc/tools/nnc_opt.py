"""
`nnc-opt`: run any pass or named pipeline on a text file and print the result.

It is xDSL's driver with nnc's dialects, passes, pipelines and readers. Nothing heavy
is imported unless the input or a pass asks for it: a test looks at the loaded modules.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import IO, Final

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass, PassPipeline, PassPipelineCallbackType
from xdsl.printer import Printer
from xdsl.universe import XDSL_UNIVERSE
from xdsl.utils.arg_spec import parse_pipeline
from xdsl.utils.exceptions import ArgSpecParseError, DiagnosticException, ParseError
from xdsl.xdsl_opt_main import xDSLOptMain

from nnc import pipelines, registry
from nnc.context import NncContext
from nnc.errors import LoadError, NncError
from nnc.module import new_context
from nnc.weight_files import load_weights, save_weights

DEFAULT_PIPELINE: Final = "nnc-default"


class _PassAction(argparse.Action):
    """Prints the registered passes with their options, then exits."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print one line a pass."""
        from xdsl.passes import get_pass_option_infos

        for name in registry.PASSES:
            pass_type = registry.load_pass(name)
            options = " ".join(
                f"{o.name.replace('_', '-')}: {o.expected_type}"
                for o in get_pass_option_infos(pass_type)
            )
            print(f"{name}{{{options}}}" if options else name)
        parser.exit()


class NncOptMain(xDSLOptMain):
    """xDSL's driver, with everything of nnc registered."""

    ctx: NncContext
    version_format = f"nnc-opt {version('nnc')} on xdsl {{xdsl_version}}"

    def __init__(self, args: Sequence[str] | None = None) -> None:
        """Parse `args`, or the command line, and assemble the pipeline."""
        super().__init__("nnc modular optimizer driver", args)

    # ---- what is registered

    def register_all_dialects(self) -> None:
        """Register nnc's dialects, and xDSL's, on a context that holds weights."""
        self.ctx = new_context()

    def register_all_passes(self) -> None:
        """Register nnc's passes, and xDSL's."""
        self.available_passes.update(XDSL_UNIVERSE.all_passes)
        self.available_passes.update(registry.pass_factories())

    def register_all_targets(self) -> None:
        """Register xDSL's output formats."""
        self.available_targets.update(XDSL_UNIVERSE.all_targets)

    def register_all_frontends(self) -> None:
        """Read `.mlir` text, and `.onnx` models through nnc's frontend."""
        super().register_all_frontends()

        def read_text(file: IO[bytes]) -> ModuleOp:
            from nnc.parsing import NncParser

            try:
                parser = NncParser(self.ctx, file.read(), self.get_input_name())
                return parser.parse_module(not self.args.no_implicit_module)
            except UnicodeDecodeError as error:
                raise LoadError(
                    f"{self.get_input_name()} is no text: {error}"
                ) from error

        self.available_frontends["mlir"] = read_text
        self.available_frontends["onnx"] = self._read_onnx

    def _read_onnx(self, file: IO[bytes]) -> ModuleOp:
        from nnc.frontends.detect import import_model
        from nnc.tools.inputs import parse_shapes

        # By path where there is one: external data lies beside the file.
        path = self.args.input_file
        model = Path(path) if path and not self.args.split_input_file else file.read()
        shapes = parse_shapes(self.args.input_shape)
        return import_model(model, input_shapes=shapes or None, ctx=self.ctx)

    def prepare_input(self) -> tuple[list[tuple[IO[bytes], int]], str]:
        """Open the input, after a look at whether there is a reader for it."""
        path = self.args.input_file
        suffix = Path(path).suffix[1:] if path else "mlir"
        if not self.args.frontend and suffix not in self.available_frontends:
            known = ", ".join(f".{name}" for name in self.available_frontends)
            raise LoadError(f"{path}: nnc-opt reads {known}; or name one: --frontend")
        return super().prepare_input()

    # ---- arguments

    def register_all_arguments(self, arg_parser: argparse.ArgumentParser) -> None:
        """Add nnc's options to xDSL's."""
        super().register_all_arguments(arg_parser)
        arg_parser.usage = "nnc-opt [options] [input_file]"
        for action in arg_parser._actions:  # the long list is --list-passes' job
            if action.dest == "passes":
                action.help = (
                    "passes and named pipelines, with options in braces: "
                    "'canonicalize,nnc-default{target=avx2}'"
                )
        group = arg_parser.add_argument_group("nnc")
        group.add_argument(
            "--pipeline",
            metavar="NAME",
            help="run a named pipeline after the passes of -p "
            f"({', '.join(pipelines.PIPELINES)})",
        )
        group.add_argument(
            "--stop-after",
            metavar="STAGE",
            choices=[str(s) for s in pipelines.Stage],
            help="leave a named pipeline after a stage "
            f"({', '.join(pipelines.Stage)}); without a pipeline: {DEFAULT_PIPELINE}",
        )
        group.add_argument(
            "--show-pipeline",
            action="store_true",
            help="print the pipeline with its named parts spelled out, then exit",
        )
        group.add_argument(
            "--list-passes",
            nargs=0,
            action=_PassAction,
            help="print nnc's passes with their options, then exit",
        )
        group.add_argument(
            "--print-ir-after",
            metavar="PASSES",
            default="",
            help="print the module to stderr after each of these passes, or 'all'",
        )
        group.add_argument(
            "--verify-numerically",
            action="store_true",
            help="run the module before and after each nn pass on random inputs, "
            "and name the pass that changed the answer",
        )
        group.add_argument(
            "--input-shape",
            metavar="NAME=1,3,H,W",
            action="append",
            default=[],
            help="fix or name the dims of a model's input",
        )
        group.add_argument(
            "--dim",
            metavar="NAME=SIZE",
            action="append",
            default=[],
            help="the size of a free dim for --verify-numerically",
        )
        group.add_argument(
            "--weights",
            metavar="FILE",
            action="append",
            default=[],
            type=Path,
            help="bytes for the weights that the text names (.npz, .safetensors)",
        )
        group.add_argument(
            "--save-weights",
            metavar="FILE",
            type=Path,
            help="write the weights that the result names (.npz, .safetensors)",
        )

    # ---- the pipeline

    def setup_pipeline(self) -> None:
        """Spell out named pipelines and make the passes."""
        stop = self.args.stop_after and pipelines.Stage(self.args.stop_after)
        text = self.args.passes
        named = self.args.pipeline
        if stop and not named and not _names_pipeline(text):
            named = DEFAULT_PIPELINE
        specs = pipelines.expand(",".join(filter(None, (text, named))), stop=stop)
        if self.args.show_pipeline:
            print(pipelines.to_text(specs))
            sys.exit(0)
        self._check_names(s.name for s in specs)
        after: str = self.args.print_ir_after
        self._print_after = frozenset(name for name in after.split(",") if name)
        self._check_names(self._print_after - {"all"})
        self._verifier = self._numerical_verifier()
        passes = tuple(self.available_passes[s.name]().from_spec(s) for s in specs)
        self.pipeline = PassPipeline(passes, self._between_passes)
        self._started = time.perf_counter()

    def _numerical_verifier(self) -> PassPipelineCallbackType | None:
        if not self.args.verify_numerically:
            return None
        from nnc.interpreters.nn import run_module
        from nnc.tools.inputs import parse_sizes
        from nnc.verification import NumericalVerifier

        return NumericalVerifier(
            lambda module, inputs: run_module(module, self.ctx.weights, inputs),
            sizes=parse_sizes(self.args.dim),
        )

    def _check_names(self, names: Iterable[str]) -> None:
        unknown = [n for n in names if n not in self.available_passes]
        if unknown:
            raise ValueError(
                f"unknown pass{'es' if len(unknown) > 1 else ''} "
                f"{', '.join(unknown)}; nnc-opt --list-passes shows the names"
            )

    def _between_passes(
        self,
        previous: ModulePass | None,
        module: ModuleOp,
        following: ModulePass | None,
    ) -> None:
        if previous is not None:
            self._report(previous, module)
        if not self.args.disable_verify:
            try:
                module.verify()
            except DiagnosticException as error:
                if previous is not None:
                    error.add_note(f"the module is invalid after {previous.name}")
                raise
        if self._verifier is not None:
            self._verifier(previous, module, following)
        self._started = time.perf_counter()

    def _report(self, previous: ModulePass, module: ModuleOp) -> None:
        if self.args.time_passes:
            took = time.perf_counter() - self._started
            print(f"{previous.name}: {took * 1e3:.1f} ms", file=sys.stderr)
        if self._print_after & {"all", previous.name}:
            print(f"// ----- IR after {previous.name} ----- //", file=sys.stderr)
            Printer(stream=sys.stderr).print_op(module)
            print(file=sys.stderr, flush=True)

    # ---- running

    def run(self) -> None:
        """Read, transform and print; then write the weights where asked."""
        for path in self.args.weights:
            for name, array in load_weights(path).items():
                self.ctx.weights.add(name, array)
        super().run()
        if self.args.save_weights is not None:
            store = self.ctx.weights
            save_weights(self.args.save_weights, {n: store[n] for n in store})

    def apply_passes(self, prog: ModuleOp) -> None:
        """Run the pipeline on one module."""
        try:
            super().apply_passes(prog)
        except NncError as error:
            # xDSL's --verify-diagnostics catches its own exceptions only.
            raise DiagnosticException(str(error)) from error


def _names_pipeline(text: str) -> bool:
    return any(s.name in pipelines.PIPELINES for s in parse_pipeline(text))


def main() -> None:
    """The command `nnc-opt`: bad input is one line on stderr and exit code 1."""
    try:
        driver = NncOptMain()
    except (NncError, ArgSpecParseError, ValueError) as error:
        sys.exit(f"nnc-opt: error: {error}")
    try:
        driver.run()
    except (NncError, DiagnosticException, ParseError, OSError) as error:
        notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
        sys.exit(f"nnc-opt: error: {error}{notes}")


if __name__ == "__main__":
    main()
