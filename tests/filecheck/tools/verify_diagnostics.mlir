// RUN: nnc-opt %s --split-input-file --verify-diagnostics | filecheck %s

// Errors are printed, the exit code stays 0, and the next part still runs.

// CHECK:       Expected arguments to have the same types as the function output types

func.func @wrong(%a: i32) -> i64 {
  func.return %a : i32
}

// -----

// CHECK:       func.func @right

func.func @right() {
  func.return
}
