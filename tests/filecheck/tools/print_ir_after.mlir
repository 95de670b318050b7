// RUN: nnc-opt %s -p canonicalize,dce,cse --print-ir-after=dce,cse 2>&1 >/dev/null | filecheck %s

// The module is printed after the named passes only, in the order of the pipeline.

// CHECK-NOT:  IR after canonicalize
// CHECK:      IR after dce
// CHECK:      func.func @used
// CHECK:      IR after cse
// CHECK:      func.func @used

func.func @used(%a: i32) -> i32 {
  %0 = arith.addi %a, %a : i32
  func.return %0 : i32
}
