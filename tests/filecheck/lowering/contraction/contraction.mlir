// RUN: nnc-opt %s --split-input-file -p 'lower-dispatches{target=avx512}' | filecheck %s

// Two panels of 64 columns, two tiles of 14 rows; B stays in the cache, so each row
// tile runs over all panels. The bias is read once for a tile and column vector.
// CHECK-LABEL: func.func @matmul_bias_relu(
func.func @matmul_bias_relu(%x: !rt.buffer<f32, #nn.shape<28, 64>, #nn.shape<64, 1>>, %w: !rt.buffer<f32, #nn.shape<1, 2, 64, 32>, #nn.shape<4096, 2048, 32, 1>>, %b: !rt.buffer<f32, #nn.shape<64>, #nn.shape<1>>, %y: !rt.buffer<f32, #nn.shape<28, 64>, #nn.shape<64, 1>>) {
  // CHECK: rt.launch @contraction_0(%x, %w, %b, %y) {dims = #nn.shape<>, tasks = #nn.shape<4>, cost = #nn.shape<{{[0-9]+}}>, schedule = "contraction 14x2"
  rt.dispatch ins(%x, %w, %b : !rt.buffer<f32, #nn.shape<28, 64>, #nn.shape<64, 1>>, !rt.buffer<f32, #nn.shape<1, 2, 64, 32>, #nn.shape<4096, 2048, 32, 1>>, !rt.buffer<f32, #nn.shape<64>, #nn.shape<1>>) outs(%y : !rt.buffer<f32, #nn.shape<28, 64>, #nn.shape<64, 1>>) {
  ^bb0(%a: tensor<28x64xf32>, %p: tensor<1x2x64x32xf32>, %c: tensor<64xf32>):
    %u = nn.unpack %p {panel = 32 : i64, groups = 1 : i64} : (tensor<1x2x64x32xf32>) -> tensor<64x64xf32>
    %0 = nn.matmul %a, %u : (tensor<28x64xf32>, tensor<64x64xf32>) -> tensor<28x64xf32>
    %1 = nn.broadcast %c : (tensor<64xf32>) -> tensor<28x64xf32>
    %2 = nn.add %0, %1 : (tensor<28x64xf32>, tensor<28x64xf32>) -> tensor<28x64xf32>
    %3 = nn.relu %2 : (tensor<28x64xf32>) -> tensor<28x64xf32>
    nn.yield %3 : tensor<28x64xf32>
  }
  func.return
}
// CHECK-LABEL: func.func @contraction_0
// CHECK:         scf.for
// CHECK:           scf.for
// CHECK:             simd.contract
// CHECK-SAME:          tile(14, 2) {width = 16}
// CHECK-COUNT-2:     simd.load
// CHECK-NOT:         simd.load
// CHECK-NOT:         simd.contract

// -----

// 20 rows are 4 x 5: one height, one contract. 33 columns need a mask on the stores of
// the last vector, not on the loads of the padded weights.
// CHECK-LABEL: func.func @masked_columns(
func.func @masked_columns(%x: !rt.buffer<f32, #nn.shape<20, 8>, #nn.shape<8, 1>>, %w: !rt.buffer<f32, #nn.shape<1, 1, 8, 48>, #nn.shape<384, 384, 48, 1>>, %y: !rt.buffer<f32, #nn.shape<20, 33>, #nn.shape<33, 1>>) {
  rt.dispatch ins(%x, %w : !rt.buffer<f32, #nn.shape<20, 8>, #nn.shape<8, 1>>, !rt.buffer<f32, #nn.shape<1, 1, 8, 48>, #nn.shape<384, 384, 48, 1>>) outs(%y : !rt.buffer<f32, #nn.shape<20, 33>, #nn.shape<33, 1>>) {
  ^bb0(%a: tensor<20x8xf32>, %p: tensor<1x1x8x48xf32>):
    %u = nn.unpack %p {panel = 48 : i64, groups = 1 : i64} : (tensor<1x1x8x48xf32>) -> tensor<8x33xf32>
    %0 = nn.matmul %a, %u : (tensor<20x8xf32>, tensor<8x33xf32>) -> tensor<20x33xf32>
    nn.yield %0 : tensor<20x33xf32>
  }
  // CHECK: rt.launch @contraction_0
  // CHECK-SAME: tasks = #nn.shape<4>, cost = #nn.shape<{{[0-9]+}}>, schedule = "contraction 5x3"
  func.return
}
// CHECK-LABEL: func.func @contraction_0
// CHECK:         [[LAST:%.*]] = simd.mask {{.*}} {width = 16}
// CHECK-NOT:     simd.mask
// CHECK:         simd.contract
// CHECK-NOT:       mask(
// CHECK-SAME:      tile(5, 3) {width = 16}
// CHECK-NOT:     simd.contract
// CHECK:         simd.store {{.*}} mask [[LAST]]

// -----

// The rows of a window are one run of 3 * 5 elements; the tile loops over its 3 rows.
// CHECK-LABEL: func.func @conv(
func.func @conv(%x: !rt.buffer<f32, #nn.shape<1, 9, 16, 5>, #nn.shape<720, 80, 5, 1>>, %w: !rt.buffer<f32, #nn.shape<1, 1, 45, 16>, #nn.shape<720, 720, 16, 1>>, %y: !rt.buffer<f32, #nn.shape<1, 7, 14, 16>, #nn.shape<1568, 224, 16, 1>>) {
  rt.dispatch ins(%x, %w : !rt.buffer<f32, #nn.shape<1, 9, 16, 5>, #nn.shape<720, 80, 5, 1>>, !rt.buffer<f32, #nn.shape<1, 1, 45, 16>, #nn.shape<720, 720, 16, 1>>) outs(%y : !rt.buffer<f32, #nn.shape<1, 7, 14, 16>, #nn.shape<1568, 224, 16, 1>>) {
  ^bb0(%a: tensor<1x9x16x5xf32>, %p: tensor<1x1x45x16xf32>):
    %u = nn.unpack %p {panel = 16 : i64, groups = 1 : i64} : (tensor<1x1x45x16xf32>) -> tensor<3x3x5x16xf32>
    %0 = nn.conv %a, %u {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_last", groups = 1 : i64} : (tensor<1x9x16x5xf32>, tensor<3x3x5x16xf32>) -> tensor<1x7x14x16xf32>
    nn.yield %0 : tensor<1x7x14x16xf32>
  }
  // CHECK: rt.launch @contraction_0
  // CHECK-SAME: tasks = #nn.shape<7>, {{.*}}schedule = "contraction 14x1"
  func.return
}
// CHECK-LABEL: func.func @contraction_0
// CHECK-DAG:     [[ONE:%.*]] = arith.constant 1 : index
// CHECK-DAG:     [[ROWS:%.*]] = arith.constant 3 : index
// CHECK-DAG:     [[SPAN:%.*]] = arith.constant 15 : index
// CHECK-DAG:     [[ROW:%.*]] = arith.constant 80 : index
// CHECK:         simd.contract
// CHECK-SAME:      k([[SPAN]]) outer([[ONE]], {{.*}}) inner([[ROWS]], [[ROW]])

// -----

// The same window dilated is no run: the tile loops over rows, columns and channels.
// CHECK-LABEL: func.func @conv_dilated(
func.func @conv_dilated(%x: !rt.buffer<f32, #nn.shape<1, 9, 18, 5>, #nn.shape<810, 90, 5, 1>>, %w: !rt.buffer<f32, #nn.shape<1, 1, 45, 16>, #nn.shape<720, 720, 16, 1>>, %y: !rt.buffer<f32, #nn.shape<1, 7, 14, 16>, #nn.shape<1568, 224, 16, 1>>) {
  rt.dispatch ins(%x, %w : !rt.buffer<f32, #nn.shape<1, 9, 18, 5>, #nn.shape<810, 90, 5, 1>>, !rt.buffer<f32, #nn.shape<1, 1, 45, 16>, #nn.shape<720, 720, 16, 1>>) outs(%y : !rt.buffer<f32, #nn.shape<1, 7, 14, 16>, #nn.shape<1568, 224, 16, 1>>) {
  ^bb0(%a: tensor<1x9x18x5xf32>, %p: tensor<1x1x45x16xf32>):
    %u = nn.unpack %p {panel = 16 : i64, groups = 1 : i64} : (tensor<1x1x45x16xf32>) -> tensor<3x3x5x16xf32>
    %0 = nn.conv %a, %u {strides = array<i64: 1, 1>, dilations = array<i64: 1, 2>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_last", groups = 1 : i64} : (tensor<1x9x18x5xf32>, tensor<3x3x5x16xf32>) -> tensor<1x7x14x16xf32>
    nn.yield %0 : tensor<1x7x14x16xf32>
  }
  // CHECK: rt.launch @contraction_0
  // CHECK-SAME: schedule = "contraction 14x1"
  func.return
}
// CHECK-LABEL: func.func @contraction_0
// CHECK-DAG:     [[TAPS:%.*]] = arith.constant 3 : index
// CHECK-DAG:     [[CHANNELS:%.*]] = arith.constant 5 : index
// CHECK-DAG:     [[ROW:%.*]] = arith.constant 90 : index
// CHECK-DAG:     [[COLUMN:%.*]] = arith.constant 10 : index
// CHECK:         simd.contract
// CHECK-SAME:      k([[CHANNELS]]) outer([[TAPS]], [[ROW]]) inner([[TAPS]], [[COLUMN]])

// -----

// Unknown rows: tall tiles, and steps of 4, 2 and 1 rows for the rest. Kernels take
// sizes as arguments, so that one text serves all of them.
// CHECK-LABEL: func.func @unknown_rows(
func.func @unknown_rows(%x: !rt.buffer<f32, #nn.shape<N, 8>, #nn.shape<8, 1>>, %w: !rt.buffer<f32, #nn.shape<1, 1, 8, 16>, #nn.shape<128, 128, 16, 1>>, %y: !rt.buffer<f32, #nn.shape<N, 16>, #nn.shape<16, 1>>) {
  rt.dispatch ins(%x, %w : !rt.buffer<f32, #nn.shape<N, 8>, #nn.shape<8, 1>>, !rt.buffer<f32, #nn.shape<1, 1, 8, 16>, #nn.shape<128, 128, 16, 1>>) outs(%y : !rt.buffer<f32, #nn.shape<N, 16>, #nn.shape<16, 1>>) {
  ^bb0(%a: tensor<?x8xf32, #nn.shape<N, 8>>, %p: tensor<1x1x8x16xf32>):
    %u = nn.unpack %p {panel = 16 : i64, groups = 1 : i64} : (tensor<1x1x8x16xf32>) -> tensor<8x16xf32>
    %0 = nn.matmul %a, %u : (tensor<?x8xf32, #nn.shape<N, 8>>, tensor<8x16xf32>) -> tensor<?x16xf32, #nn.shape<N, 16>>
    nn.yield %0 : tensor<?x16xf32, #nn.shape<N, 16>>
  }
  // CHECK: rt.launch @contraction_0
  // CHECK-SAME: tasks = #nn.shape<(N + 13) floordiv 14>, {{.*}}schedule = "contraction 14x1"
  func.return
}
// CHECK-LABEL: func.func @contraction_0
// CHECK:         scf.if
// CHECK:           simd.contract {{.*}} tile(14, 1)
// CHECK:         } else {
// CHECK:           simd.contract {{.*}} tile(4, 1)
// CHECK:           simd.contract {{.*}} tile(2, 1)
// CHECK:           simd.contract {{.*}} tile(1, 1)

// -----

// More weights than stay in the cache: panels are outermost, and each of 7 row tiles asks
// for a seventh of the next one, 5 of 32 columns with each product.
// CHECK-LABEL: func.func @large_weights(
func.func @large_weights(%x: !rt.buffer<f32, #nn.shape<98, 512>, #nn.shape<512, 1>>, %w: !rt.buffer<f32, #nn.shape<1, 16, 512, 32>, #nn.shape<262144, 16384, 32, 1>>, %y: !rt.buffer<f32, #nn.shape<98, 512>, #nn.shape<512, 1>>) {
  rt.dispatch ins(%x, %w : !rt.buffer<f32, #nn.shape<98, 512>, #nn.shape<512, 1>>, !rt.buffer<f32, #nn.shape<1, 16, 512, 32>, #nn.shape<262144, 16384, 32, 1>>) outs(%y : !rt.buffer<f32, #nn.shape<98, 512>, #nn.shape<512, 1>>) {
  ^bb0(%a: tensor<98x512xf32>, %p: tensor<1x16x512x32xf32>):
    %u = nn.unpack %p {panel = 32 : i64, groups = 1 : i64} : (tensor<1x16x512x32xf32>) -> tensor<512x512xf32>
    %0 = nn.matmul %a, %u : (tensor<98x512xf32>, tensor<512x512xf32>) -> tensor<98x512xf32>
    nn.yield %0 : tensor<98x512xf32>
  }
  // CHECK: rt.launch @contraction_0
  // CHECK-SAME: tasks = #nn.shape<112>, {{.*}}schedule = "contraction 14x2"
  func.return
}
// CHECK-LABEL: func.func @contraction_0
// CHECK-DAG:     [[STRIDE:%.*]] = arith.constant 5 : index
// CHECK-DAG:     [[PANEL:%.*]] = arith.constant 16384 : index
// CHECK-DAG:     [[SHARE:%.*]] = arith.constant 2560 : index
// CHECK:         [[PLACE:%.*]] = arith.muli {{%.*}}, [[SHARE]]
// CHECK:         [[AHEAD:%.*]] = arith.addi [[PANEL]], [[PLACE]]
// CHECK:         simd.contract {{.*}} prefetch([[AHEAD]], [[STRIDE]]) tile(14, 2)

// -----

// Integers have no register tile.
// CHECK-LABEL: func.func @integers(
func.func @integers(%x: !rt.buffer<i32, #nn.shape<4, 8>, #nn.shape<8, 1>>, %w: !rt.buffer<i32, #nn.shape<8, 16>, #nn.shape<16, 1>>, %y: !rt.buffer<i32, #nn.shape<4, 16>, #nn.shape<16, 1>>) {
  rt.dispatch ins(%x, %w : !rt.buffer<i32, #nn.shape<4, 8>, #nn.shape<8, 1>>, !rt.buffer<i32, #nn.shape<8, 16>, #nn.shape<16, 1>>) outs(%y : !rt.buffer<i32, #nn.shape<4, 16>, #nn.shape<16, 1>>) {
  ^bb0(%a: tensor<4x8xi32>, %b: tensor<8x16xi32>):
    %0 = nn.matmul %a, %b : (tensor<4x8xi32>, tensor<8x16xi32>) -> tensor<4x16xi32>
    nn.yield %0 : tensor<4x16xi32>
  }
  // CHECK: rt.launch @contraction_0
  // CHECK-SAME: schedule = "contraction generic"
  func.return
}
// CHECK-LABEL: func.func @contraction_0
// CHECK-NOT:     simd.contract
// CHECK:         scf.for {{.*}} iter_args
