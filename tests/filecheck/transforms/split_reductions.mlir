// RUN: nnc-opt %s -p split-reductions --split-input-file | filecheck %s

// Global pooling of a large image: the inner sums are shared out.
// CHECK: %[[ROWS:.*]] = nn.reduce %x {kind = "mean", axes = array<i64: 2>, keep_dims = true} : (tensor<1x160x160x96xf32>) -> tensor<1x160x1x96xf32>
// CHECK-NEXT: %[[ALL:.*]] = nn.reduce %[[ROWS]] {kind = "mean", axes = array<i64: 1>, keep_dims = true} : (tensor<1x160x1x96xf32>) -> tensor<1x1x1x96xf32>
// CHECK-NEXT: func.return %[[ALL]]
func.func @main(%x: tensor<1x160x160x96xf32>) -> tensor<1x1x1x96xf32> {
  %0 = nn.reduce %x {kind = "mean", axes = array<i64: 1, 2>, keep_dims = true} : (tensor<1x160x160x96xf32>) -> tensor<1x1x1x96xf32>
  func.return %0 : tensor<1x1x1x96xf32>
}

// -----

// Sizes that are unknown may be large. Of three axes one is left at a time.
// CHECK: %[[A:.*]] = nn.reduce %x {kind = "max", axes = array<i64: 2>, keep_dims = true}
// CHECK-NEXT: %[[B:.*]] = nn.reduce %[[A]] {kind = "max", axes = array<i64: 1>, keep_dims = true}
// CHECK-NEXT: %[[C:.*]] = nn.reduce %[[B]] {kind = "max", axes = array<i64: 0>, keep_dims = true}
// CHECK-NEXT: func.return %[[C]]
func.func @main(%x: tensor<?x?x96xf32, #nn.shape<H, W, 96>>) -> tensor<1x1x1xf32> {
  %0 = nn.reduce %x {kind = "max", axes = array<i64: 0, 1, 2>, keep_dims = true} : (tensor<?x?x96xf32, #nn.shape<H, W, 96>>) -> tensor<1x1x1xf32>
  func.return %0 : tensor<1x1x1xf32>
}

// -----

// Small ones, those with many results, and those over one axis stay.
// CHECK-COUNT-3: nn.reduce
// CHECK-NOT: nn.reduce
// CHECK: func.return
func.func @main(%x: tensor<1x7x7x512xf32>, %y: tensor<1x56x56x2048xf32>, %z: tensor<1x500000xf32>) -> (tensor<1x1x1x512xf32>, tensor<1x1x1x2048xf32>, tensor<1x1xf32>) {
  %0 = nn.reduce %x {kind = "sum", axes = array<i64: 1, 2>, keep_dims = true} : (tensor<1x7x7x512xf32>) -> tensor<1x1x1x512xf32>
  %1 = nn.reduce %y {kind = "sum", axes = array<i64: 1, 2>, keep_dims = true} : (tensor<1x56x56x2048xf32>) -> tensor<1x1x1x2048xf32>
  %2 = nn.reduce %z {kind = "sum", axes = array<i64: 0, 1>, keep_dims = true} : (tensor<1x500000xf32>) -> tensor<1x1xf32>
  func.return %0, %1, %2 : tensor<1x1x1x512xf32>, tensor<1x1x1x2048xf32>, tensor<1x1xf32>
}

// -----

// Half precision would round the partial sums, and means of integers truncate.
// CHECK-COUNT-2: nn.reduce
// CHECK-NOT: nn.reduce
// CHECK: func.return
func.func @main(%x: tensor<700x700xf16>, %y: tensor<700x700xi64>) -> (tensor<1x1xf16>, tensor<1x1xi64>) {
  %0 = nn.reduce %x {kind = "sum", axes = array<i64: 0, 1>, keep_dims = true} : (tensor<700x700xf16>) -> tensor<1x1xf16>
  %1 = nn.reduce %y {kind = "mean", axes = array<i64: 0, 1>, keep_dims = true} : (tensor<700x700xi64>) -> tensor<1x1xi64>
  func.return %0, %1 : tensor<1x1xf16>, tensor<1x1xi64>
}

// -----

// A normalisation is one row program.
// CHECK-COUNT-1: nn.reduce
// CHECK-NOT: nn.reduce
// CHECK: func.return
func.func @main(%x: tensor<1x700x700xf32>) -> tensor<1x700x700xf32> {
  %0 = nn.reduce %x {kind = "mean", axes = array<i64: 1, 2>, keep_dims = true} : (tensor<1x700x700xf32>) -> tensor<1x1x1xf32>
  %1 = nn.sqrt %0 : (tensor<1x1x1xf32>) -> tensor<1x1x1xf32>
  %2 = nn.broadcast %1 {shape = #nn.shape<1, 700, 700>} : (tensor<1x1x1xf32>) -> tensor<1x700x700xf32>
  %3 = nn.sub %x, %2 : (tensor<1x700x700xf32>, tensor<1x700x700xf32>) -> tensor<1x700x700xf32>
  func.return %3 : tensor<1x700x700xf32>
}
