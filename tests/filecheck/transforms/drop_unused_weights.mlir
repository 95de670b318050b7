// RUN: nnc-opt %s -p fold-constants,drop-unused-weights --save-weights %t.npz | filecheck %s
// RUN: python -c "import numpy, sys; print(*sorted(numpy.load(sys.argv[1])))" %t.npz | filecheck %s --check-prefix WEIGHTS

// Folding adds resources; those that no op names any more are dropped.

// CHECK: nn.weight "a.neg"
// WEIGHTS: {{^}}a.neg{{$}}
func.func @main() -> tensor<20xi64> {
  %0 = nn.iota {axis = 0 : i64, loc_name = "a"} : tensor<20xi64>
  %1 = nn.neg %0 {loc_name = "a"} : (tensor<20xi64>) -> tensor<20xi64>
  func.return %1 : tensor<20xi64>
}
