// RUN: nnc-opt %s -p 'lower-dispatches{target="avx512"}' --split-input-file | filecheck %s

// A bias for each column: rows in tasks, lanes along the row, a masked rest.
// CHECK-LABEL: func.func @main
// CHECK-NEXT: rt.launch @pointwise_0(%x, %b, %y) {loc_name = "bias", dims = #nn.shape<>, tasks = #nn.shape<1>, cost = #nn.shape<69>, schedule = "pointwise"
// CHECK: func.func @pointwise_0(%[[X:.*]]: !simd.ptr<f32>, %[[B:.*]]: !simd.ptr<f32>, %[[Y:.*]]: !simd.ptr<f32>, %{{.*}}: index, %{{.*}}: index) {
// CHECK: simd.mask
// CHECK: scf.for
// CHECK: scf.for
// CHECK-NEXT: simd.load %{{.*}}[%[[J:.*]]] {width = 16}
// CHECK-NEXT: simd.load %[[B]][%[[J]]] {width = 16}
// CHECK-NEXT: simd.add
// CHECK-NEXT: simd.store
// CHECK: simd.load {{.*}} mask
// CHECK: simd.store {{.*}} mask
// CHECK-NOT: nn.
func.func @main(%x: !rt.buffer<f32, #nn.shape<4, 37>, #nn.shape<37, 1>>, %b: !rt.buffer<f32, #nn.shape<37>, #nn.shape<1>>, %y: !rt.buffer<f32, #nn.shape<4, 37>, #nn.shape<37, 1>>) {
  rt.dispatch ins(%x, %b : !rt.buffer<f32, #nn.shape<4, 37>, #nn.shape<37, 1>>, !rt.buffer<f32, #nn.shape<37>, #nn.shape<1>>) outs(%y : !rt.buffer<f32, #nn.shape<4, 37>, #nn.shape<37, 1>>) attributes {loc_name = "bias"} {
  ^bb0(%0: tensor<4x37xf32>, %1: tensor<37xf32>):
    %2 = nn.broadcast %1 : (tensor<37xf32>) -> tensor<4x37xf32>
    %3 = nn.add %0, %2 : (tensor<4x37xf32>, tensor<4x37xf32>) -> tensor<4x37xf32>
    nn.yield %3 : tensor<4x37xf32>
  }
  func.return
}

// -----

// Axes that every access walks as one become one loop, sizes that are not known too.
// CHECK-LABEL: func.func @main
// CHECK-NEXT: rt.launch @pointwise_0(%x, %y) {dims = #nn.shape<6*N>, tasks = #nn.shape<(3*N + 1023) floordiv 1024>, cost = #nn.shape<{{.*}}>, schedule = "pointwise"
// CHECK: func.func @pointwise_0
// CHECK: scf.for
// CHECK-NOT: scf.for
func.func @main(%x: !rt.buffer<f32, #nn.shape<N, 2, 3>, #nn.shape<6, 3, 1>>, %y: !rt.buffer<f32, #nn.shape<N, 2, 3>, #nn.shape<6, 3, 1>>) {
  rt.dispatch ins(%x : !rt.buffer<f32, #nn.shape<N, 2, 3>, #nn.shape<6, 3, 1>>) outs(%y : !rt.buffer<f32, #nn.shape<N, 2, 3>, #nn.shape<6, 3, 1>>) {
  ^bb0(%0: tensor<?x2x3xf32, #nn.shape<N, 2, 3>>):
    %1 = nn.relu %0 : (tensor<?x2x3xf32, #nn.shape<N, 2, 3>>) -> tensor<?x2x3xf32, #nn.shape<N, 2, 3>>
    nn.yield %1 : tensor<?x2x3xf32, #nn.shape<N, 2, 3>>
  }
  func.return
}

// -----

// An operand that lies across the result is read and written in square tiles.
// CHECK-LABEL: func.func @main
// CHECK: func.func @pointwise_0
// CHECK: simd.load_transposed {{.*}} {width = 16}
// CHECK: simd.store_rows({{.*}} {width = 16}
func.func @main(%x: !rt.buffer<f32, #nn.shape<32, 64>, #nn.shape<64, 1>>, %y: !rt.buffer<f32, #nn.shape<64, 32>, #nn.shape<32, 1>>) {
  rt.dispatch ins(%x : !rt.buffer<f32, #nn.shape<32, 64>, #nn.shape<64, 1>>) outs(%y : !rt.buffer<f32, #nn.shape<64, 32>, #nn.shape<32, 1>>) {
  ^bb0(%0: tensor<32x64xf32>):
    %1 = nn.transpose %0 {permutation = array<i64: 1, 0>} : (tensor<32x64xf32>) -> tensor<64x32xf32>
    nn.yield %1 : tensor<64x32xf32>
  }
  func.return
}

// -----

// Rows: the powers are computed in one loop only and left in the result in between.
// CHECK-LABEL: func.func @main
// CHECK-NEXT: rt.launch @rows_0(%x, %y) {{.*}}schedule = "rows along"
// CHECK: func.func @rows_0
// CHECK: simd.reduce max
// CHECK: simd.exp
// CHECK: simd.store
// CHECK: simd.reduce add
// CHECK: simd.reciprocal
// CHECK-NOT: simd.exp
// CHECK: simd.mul
// CHECK: simd.store
func.func @main(%x: !rt.buffer<f32, #nn.shape<8, 1024>, #nn.shape<1024, 1>>, %y: !rt.buffer<f32, #nn.shape<8, 1024>, #nn.shape<1024, 1>>) {
  rt.dispatch ins(%x : !rt.buffer<f32, #nn.shape<8, 1024>, #nn.shape<1024, 1>>) outs(%y : !rt.buffer<f32, #nn.shape<8, 1024>, #nn.shape<1024, 1>>) {
  ^bb0(%0: tensor<8x1024xf32>):
    %1 = nn.reduce %0 {kind = "max", axes = array<i64: 1>, keep_dims = true} : (tensor<8x1024xf32>) -> tensor<8x1xf32>
    %2 = nn.broadcast %1 : (tensor<8x1xf32>) -> tensor<8x1024xf32>
    %3 = nn.sub %0, %2 : (tensor<8x1024xf32>, tensor<8x1024xf32>) -> tensor<8x1024xf32>
    %4 = nn.exp %3 : (tensor<8x1024xf32>) -> tensor<8x1024xf32>
    %5 = nn.reduce %4 {kind = "sum", axes = array<i64: 1>, keep_dims = true} : (tensor<8x1024xf32>) -> tensor<8x1xf32>
    %6 = nn.broadcast %5 : (tensor<8x1xf32>) -> tensor<8x1024xf32>
    %7 = nn.div %4, %6 : (tensor<8x1024xf32>, tensor<8x1024xf32>) -> tensor<8x1024xf32>
    nn.yield %7 : tensor<8x1024xf32>
  }
  func.return
}

// -----

// A reduction over an outer axis: lanes run across columns, without a horizontal step.
// CHECK-LABEL: func.func @main
// CHECK-NEXT: rt.launch @rows_0(%x, %y) {{.*}}schedule = "rows across"
// CHECK-NOT: simd.reduce
// CHECK: simd.add {{.*}} {width = 16}
func.func @main(%x: !rt.buffer<f32, #nn.shape<49, 64>, #nn.shape<64, 1>>, %y: !rt.buffer<f32, #nn.shape<1, 64>, #nn.shape<64, 1>>) {
  rt.dispatch ins(%x : !rt.buffer<f32, #nn.shape<49, 64>, #nn.shape<64, 1>>) outs(%y : !rt.buffer<f32, #nn.shape<1, 64>, #nn.shape<64, 1>>) {
  ^bb0(%0: tensor<49x64xf32>):
    %1 = nn.reduce %0 {kind = "mean", axes = array<i64: 0>, keep_dims = true} : (tensor<49x64xf32>) -> tensor<1x64xf32>
    nn.yield %1 : tensor<1x64xf32>
  }
  func.return
}

// -----

// Wrong indices are recorded in the run state, which is then the first argument.
// CHECK-LABEL: func.func @main
// CHECK: func.func @pointwise_0(%{{.*}}: !simd.ptr<i64>, %{{.*}}: !simd.ptr<f32>, %{{.*}}: !simd.ptr<i64>, %{{.*}}: !simd.ptr<f32>, %{{.*}}: index, %{{.*}}: index) attributes {needs_state} {
// CHECK: simd.raise %{{.*}}, %{{.*}} {code = 1, site = 0}
func.func @main(%x: !rt.buffer<f32, #nn.shape<10, 16>, #nn.shape<16, 1>>, %i: !rt.buffer<i64, #nn.shape<3>, #nn.shape<1>>, %y: !rt.buffer<f32, #nn.shape<3, 16>, #nn.shape<16, 1>>) {
  rt.dispatch ins(%x, %i : !rt.buffer<f32, #nn.shape<10, 16>, #nn.shape<16, 1>>, !rt.buffer<i64, #nn.shape<3>, #nn.shape<1>>) outs(%y : !rt.buffer<f32, #nn.shape<3, 16>, #nn.shape<16, 1>>) {
  ^bb0(%0: tensor<10x16xf32>, %1: tensor<3xi64>):
    %2 = nn.gather %0, %1 {axis = 0 : i64} : (tensor<10x16xf32>, tensor<3xi64>) -> tensor<3x16xf32>
    nn.yield %2 : tensor<3x16xf32>
  }
  func.return
}
