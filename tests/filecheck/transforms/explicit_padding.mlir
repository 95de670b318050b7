// RUN: nnc-opt %s -p explicit-padding | filecheck %s

// CHECK-LABEL: func.func @contraction_gets_a_pad
// CHECK-NEXT:    %[[PAD:.*]] = nn.pad %x {low = #nn.shape<0, 1, 2, 0>, high = #nn.shape<0, 3, 4, 0>, mode = "constant"}
// CHECK-NEXT:    nn.conv %[[PAD]], %w {{.*}}padding = #nn.shape<0, 0, 0, 0>
func.func @contraction_gets_a_pad(%x: tensor<1x8x8x3xf32>, %w: tensor<3x3x3x4xf32>) -> tensor<1x10x12x4xf32> {
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 2, 3, 4>, layout = "channels_last", groups = 1 : i64} : (tensor<1x8x8x3xf32>, tensor<3x3x3x4xf32>) -> tensor<1x10x12x4xf32>
  func.return %0 : tensor<1x10x12x4xf32>
}

// CHECK-LABEL: func.func @channels_first_pads_other_axes
// CHECK-NEXT:    nn.pad %x {low = #nn.shape<0, 0, 1>, high = #nn.shape<0, 0, 1>
func.func @channels_first_pads_other_axes(%x: tensor<1x3x8xf32>, %w: tensor<4x3x3xf32>) -> tensor<1x4x8xf32> {
  %0 = nn.conv %x, %w {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<1, 1>, layout = "channels_first", groups = 1 : i64} : (tensor<1x3x8xf32>, tensor<4x3x3xf32>) -> tensor<1x4x8xf32>
  func.return %0 : tensor<1x4x8xf32>
}

// CHECK-LABEL: func.func @depthwise_keeps_its_padding
// CHECK-NEXT:    nn.conv %x, %w {{.*}}padding = #nn.shape<1, 1, 1, 1>
func.func @depthwise_keeps_its_padding(%x: tensor<1x8x8x4xf32>, %w: tensor<3x3x1x4xf32>) -> tensor<1x8x8x4xf32> {
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 1, 1, 1>, layout = "channels_last", groups = 4 : i64} : (tensor<1x8x8x4xf32>, tensor<3x3x1x4xf32>) -> tensor<1x8x8x4xf32>
  func.return %0 : tensor<1x8x8x4xf32>
}

// CHECK-LABEL: func.func @pool_keeps_its_padding
// CHECK-NEXT:    nn.pool %x {{.*}}padding = #nn.shape<1, 1>
func.func @pool_keeps_its_padding(%x: tensor<1x8x4xf32>) -> tensor<1x8x4xf32> {
  %0 = nn.pool %x {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<1, 1>, layout = "channels_last", kind = "max", kernel_shape = array<i64: 3>, ceil_mode = false, count_padding = false} : (tensor<1x8x4xf32>) -> tensor<1x8x4xf32>
  func.return %0 : tensor<1x8x4xf32>
}

// CHECK-LABEL: func.func @unpadded_convolution_stays
// CHECK-NEXT:    nn.conv %x
func.func @unpadded_convolution_stays(%x: tensor<1x8x4xf32>, %w: tensor<1x4x2xf32>) -> tensor<1x8x2xf32> {
  %0 = nn.conv %x, %w {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_last", groups = 1 : i64} : (tensor<1x8x4xf32>, tensor<1x4x2xf32>) -> tensor<1x8x2xf32>
  func.return %0 : tensor<1x8x2xf32>
}
