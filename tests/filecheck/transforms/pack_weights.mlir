// RUN: nnc-opt %s -p pack-weights{target=avx512} | filecheck %s --check-prefix=AVX512
// RUN: nnc-opt %s -p pack-weights{target=avx512},pack-weights{target=avx512} | filecheck %s --check-prefix=AVX512
// RUN: nnc-opt %s -p pack-weights{target=generic} | filecheck %s --check-prefix=GENERIC

// AVX512-LABEL:  func.func @constant_matrix_is_packed
// AVX512:          %[[P:.*]] = nn.pack %{{.*}} {panel = 8 : i64, groups = 1 : i64} : (tensor<2x3xf32>) -> tensor<1x1x2x8xf32>
// AVX512-NEXT:     nn.dispatch(%x, %[[P]])
// AVX512-NEXT:     ^{{.*}}(%[[A:.*]]: tensor<4x2xf32>, %[[B:.*]]: tensor<1x1x2x8xf32>)
// AVX512-NEXT:     %[[U:.*]] = nn.unpack %[[B]] {panel = 8 : i64, groups = 1 : i64}
// AVX512-NEXT:     nn.matmul %[[A]], %[[U]]
// GENERIC-LABEL: func.func @constant_matrix_is_packed
// GENERIC:         nn.pack %{{.*}} {panel = 4 : i64, groups = 1 : i64}
func.func @constant_matrix_is_packed(%x: tensor<4x2xf32>) -> tensor<4x3xf32> {
  %w = nn.constant dense<1.0> : tensor<2x3xf32>
  %0 = nn.dispatch(%x, %w) : (tensor<4x2xf32>, tensor<2x3xf32>) -> tensor<4x3xf32> {
  ^bb0(%a: tensor<4x2xf32>, %b: tensor<2x3xf32>):
    %1 = nn.matmul %a, %b : (tensor<4x2xf32>, tensor<2x3xf32>) -> tensor<4x3xf32>
    nn.yield %1 : tensor<4x3xf32>
  }
  func.return %0 : tensor<4x3xf32>
}

// AVX512-LABEL: func.func @groups_are_packed_apart
// AVX512:         nn.pack %{{.*}} {panel = 8 : i64, groups = 2 : i64} : (tensor<1x2x4xf32>) -> tensor<2x1x2x8xf32>
func.func @groups_are_packed_apart(%x: tensor<1x5x4xf32>) -> tensor<1x5x4xf32> {
  %w = nn.constant dense<1.0> : tensor<1x2x4xf32>
  %0 = nn.dispatch(%x, %w) : (tensor<1x5x4xf32>, tensor<1x2x4xf32>) -> tensor<1x5x4xf32> {
  ^bb0(%a: tensor<1x5x4xf32>, %b: tensor<1x2x4xf32>):
    %1 = nn.conv %a, %b {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_last", groups = 2 : i64} : (tensor<1x5x4xf32>, tensor<1x2x4xf32>) -> tensor<1x5x4xf32>
    nn.yield %1 : tensor<1x5x4xf32>
  }
  func.return %0 : tensor<1x5x4xf32>
}

// AVX512-LABEL: func.func @operand_that_is_no_constant_stays
// AVX512-NOT:     nn.pack
// AVX512:         func.return
func.func @operand_that_is_no_constant_stays(%x: tensor<4x2xf32>, %w: tensor<2x3xf32>) -> tensor<4x3xf32> {
  %0 = nn.dispatch(%x, %w) : (tensor<4x2xf32>, tensor<2x3xf32>) -> tensor<4x3xf32> {
  ^bb0(%a: tensor<4x2xf32>, %b: tensor<2x3xf32>):
    %1 = nn.matmul %a, %b : (tensor<4x2xf32>, tensor<2x3xf32>) -> tensor<4x3xf32>
    nn.yield %1 : tensor<4x3xf32>
  }
  func.return %0 : tensor<4x3xf32>
}

// AVX512-LABEL: func.func @depthwise_filter_stays
// AVX512-NOT:     nn.pack
// AVX512:         func.return
func.func @depthwise_filter_stays(%x: tensor<1x5x4xf32>) -> tensor<1x5x4xf32> {
  %w = nn.constant dense<1.0> : tensor<3x1x4xf32>
  %0 = nn.dispatch(%x, %w) : (tensor<1x5x4xf32>, tensor<3x1x4xf32>) -> tensor<1x5x4xf32> {
  ^bb0(%a: tensor<1x5x4xf32>, %b: tensor<3x1x4xf32>):
    %1 = nn.conv %a, %b {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<1, 1>, layout = "channels_last", groups = 4 : i64} : (tensor<1x5x4xf32>, tensor<3x1x4xf32>) -> tensor<1x5x4xf32>
    nn.yield %1 : tensor<1x5x4xf32>
  }
  func.return %0 : tensor<1x5x4xf32>
}
