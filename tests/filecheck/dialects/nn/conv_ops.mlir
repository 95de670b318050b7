// RUN: NNC_ROUNDTRIP
// RUN: NNC_GENERIC_ROUNDTRIP

// CHECK-LABEL: func.func @channels_first
func.func @channels_first(%x: tensor<?x3x8x8xf32, #nn.shape<N, 3, 8, 8>>, %w: tensor<4x3x3x3xf32>, %t: tensor<3x4x3x3xf32>) {
  // CHECK-NEXT: %{{.*}} = nn.conv %x, %w {strides = array<i64: 2, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 0, P, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<?x3x8x8xf32, #nn.shape<N, 3, 8, 8>>, tensor<4x3x3x3xf32>) -> tensor<?x4x?x6xf32, #nn.shape<N, 4, P floordiv 2 + 4, 6>>
  %0 = nn.conv %x, %w {strides = array<i64: 2, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 0, P, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<?x3x8x8xf32, #nn.shape<N, 3, 8, 8>>, tensor<4x3x3x3xf32>) -> tensor<?x4x?x6xf32, #nn.shape<N, 4, P floordiv 2 + 4, 6>>
  // CHECK-NEXT: %{{.*}} = nn.conv_transpose %x, %t {strides = array<i64: 2, 2>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 0, 1, 0>, layout = "channels_first", groups = 1 : i64, output_padding = array<i64: 1, 0>} : (tensor<?x3x8x8xf32, #nn.shape<N, 3, 8, 8>>, tensor<3x4x3x3xf32>) -> tensor<?x4x16x17xf32, #nn.shape<N, 4, 16, 17>>
  %1 = nn.conv_transpose %x, %t {strides = array<i64: 2, 2>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 0, 1, 0>, layout = "channels_first", groups = 1 : i64, output_padding = array<i64: 1, 0>} : (tensor<?x3x8x8xf32, #nn.shape<N, 3, 8, 8>>, tensor<3x4x3x3xf32>) -> tensor<?x4x16x17xf32, #nn.shape<N, 4, 16, 17>>
  // CHECK-NEXT: %{{.*}} = nn.pool %x {strides = array<i64: 2, 2>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_first", kind = "max", kernel_shape = array<i64: 3, 3>, ceil_mode = true, count_padding = false} : (tensor<?x3x8x8xf32, #nn.shape<N, 3, 8, 8>>) -> tensor<?x3x4x4xf32, #nn.shape<N, 3, 4, 4>>
  %2 = nn.pool %x {strides = array<i64: 2, 2>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_first", kind = "max", kernel_shape = array<i64: 3, 3>, ceil_mode = true, count_padding = false} : (tensor<?x3x8x8xf32, #nn.shape<N, 3, 8, 8>>) -> tensor<?x3x4x4xf32, #nn.shape<N, 3, 4, 4>>
  func.return
}

// CHECK-LABEL: func.func @channels_last
func.func @channels_last(%x: tensor<?x8x8x3xf32, #nn.shape<N, 8, 8, 3>>, %w: tensor<3x3x1x6xf32>) {
  // CHECK-NEXT: %{{.*}} = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 2, 2>, padding = #nn.shape<2, 2, 2, 2>, layout = "channels_last", groups = 3 : i64} : (tensor<?x8x8x3xf32, #nn.shape<N, 8, 8, 3>>, tensor<3x3x1x6xf32>) -> tensor<?x8x8x6xf32, #nn.shape<N, 8, 8, 6>>
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 2, 2>, padding = #nn.shape<2, 2, 2, 2>, layout = "channels_last", groups = 3 : i64} : (tensor<?x8x8x3xf32, #nn.shape<N, 8, 8, 3>>, tensor<3x3x1x6xf32>) -> tensor<?x8x8x6xf32, #nn.shape<N, 8, 8, 6>>
  // CHECK-NEXT: %{{.*}} = nn.pool %x {strides = array<i64: 8, 8>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_last", kind = "average", kernel_shape = array<i64: 8, 8>, ceil_mode = false, count_padding = true} : (tensor<?x8x8x3xf32, #nn.shape<N, 8, 8, 3>>) -> tensor<?x1x1x3xf32, #nn.shape<N, 1, 1, 3>>
  %1 = nn.pool %x {strides = array<i64: 8, 8>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_last", kind = "average", kernel_shape = array<i64: 8, 8>, ceil_mode = false, count_padding = true} : (tensor<?x8x8x3xf32, #nn.shape<N, 8, 8, 3>>) -> tensor<?x1x1x3xf32, #nn.shape<N, 1, 1, 3>>
  func.return
}

// CHECK-LABEL: func.func @one_and_three_axes
func.func @one_and_three_axes(%x: tensor<2x3x9xf32>, %w: tensor<4x3x3xf32>, %v: tensor<1x2x4x4x4xf32>) {
  // CHECK-NEXT: %{{.*}} = nn.conv %x, %w {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<2x3x9xf32>, tensor<4x3x3xf32>) -> tensor<2x4x7xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<2x3x9xf32>, tensor<4x3x3xf32>) -> tensor<2x4x7xf32>
  // CHECK-NEXT: %{{.*}} = nn.pool %v {strides = array<i64: 2, 2, 2>, dilations = array<i64: 1, 1, 1>, padding = #nn.shape<0, 0, 0, 0, 0, 0>, layout = "channels_first", kind = "max", kernel_shape = array<i64: 2, 2, 2>, ceil_mode = false, count_padding = false} : (tensor<1x2x4x4x4xf32>) -> tensor<1x2x2x2x2xf32>
  %1 = nn.pool %v {strides = array<i64: 2, 2, 2>, dilations = array<i64: 1, 1, 1>, padding = #nn.shape<0, 0, 0, 0, 0, 0>, layout = "channels_first", kind = "max", kernel_shape = array<i64: 2, 2, 2>, ceil_mode = false, count_padding = false} : (tensor<1x2x4x4x4xf32>) -> tensor<1x2x2x2x2xf32>
  func.return
}
