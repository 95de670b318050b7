"""lit's configuration: `lit tests/filecheck` from an environment that holds nnc."""

# pyright: basic, reportUndefinedVariable=false, reportAttributeAccessIssue=false
# ruff: noqa: F821
# lit runs this file with `config` and `lit_config` defined.

import os
import sys
from pathlib import Path

import lit.formats

config.name = "nnc"
config.test_format = lit.formats.ShTest()
config.suffixes = [".mlir"]
config.test_source_root = str(Path(__file__).parent)
config.test_exec_root = str(Path(__file__).parents[2] / ".cache" / "lit")

# The tools of the environment that runs lit come first.
config.environment["PATH"] = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
)

# A checkout beside the installed one is tested with PYTHONPATH=src.
if "PYTHONPATH" in os.environ:
    config.environment["PYTHONPATH"] = os.environ["PYTHONPATH"]

config.environment["NNC_CACHE"] = "0"

# A file that prints, reads and prints again, in custom or in generic form.
config.substitutions.append(
    (
        "NNC_GENERIC_ROUNDTRIP",
        "nnc-opt %s --split-input-file --print-op-generic"
        " | nnc-opt --split-input-file | filecheck %s",
    )
)
config.substitutions.append(
    (
        "NNC_ROUNDTRIP",
        "nnc-opt %s --split-input-file | nnc-opt --split-input-file | filecheck %s",
    )
)

_SECONDS_A_TEST = 60
_supported, _reason = lit_config.maxIndividualTestTimeIsSupported
if _supported:
    config.maxIndividualTestTime = _SECONDS_A_TEST
else:
    lit_config.note(f"no time limit for a test: {_reason}")
