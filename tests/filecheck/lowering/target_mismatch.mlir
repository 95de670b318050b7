// RUN: nnc-opt %s -p 'lower-dispatches{target=avx512},convert-simd-to-llvm{target=avx512}' | filecheck %s --check-prefix=SAME
// RUN: nnc-opt %s -p 'lower-dispatches{target=avx512},convert-simd-to-llvm{target=avx2}' --verify-diagnostics | filecheck %s --check-prefix=OTHER

// The first pass that looks at the target writes it down, later ones compare.

// SAME:  builtin.module attributes {nnc.target = "avx512"}
// OTHER: the module was lowered for target 'avx512', which is not 'avx2'
func.func @host() {
  func.return
}
