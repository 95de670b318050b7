// RUN: nnc-opt %s -p fold-batch-norm | filecheck %s

// s = [1, 2] / sqrt([4, 1]) = [0.5, 2]; t = [3, 4] - [5, 6] * s = [0.5, -8].
// CHECK-LABEL: func.func @batch_norm_scales_the_filter
// CHECK:         %[[W:.*]] = nn.constant dense<{{.*}}0.5{{.*}}, {{.*}}2.0
// CHECK-NEXT:    %[[CONV:.*]] = nn.conv %x, %[[W]]
// CHECK-NEXT:    %[[T:.*]] = nn.constant dense<{{.*}}0.5{{.*}}, {{.*}}-8.0
// CHECK-NEXT:    %[[SPREAD:.*]] = nn.broadcast %[[T]]
// CHECK-NEXT:    nn.add %[[CONV]], %[[SPREAD]]
// CHECK-NOT:     nn.batch_norm
func.func @batch_norm_scales_the_filter(%x: tensor<1x1x4xf32>) -> tensor<1x2x4xf32> {
  %w = nn.constant dense<1.0> : tensor<2x1x1xf32>
  %scale = nn.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %bias = nn.constant dense<[3.0, 4.0]> : tensor<2xf32>
  %mean = nn.constant dense<[5.0, 6.0]> : tensor<2xf32>
  %variance = nn.constant dense<[4.0, 1.0]> : tensor<2xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<1x1x4xf32>, tensor<2x1x1xf32>) -> tensor<1x2x4xf32>
  %1 = nn.batch_norm %0, %scale, %bias, %mean, %variance {axis = 1 : i64, epsilon = 0.0 : f64} : (tensor<1x2x4xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<1x2x4xf32>
  func.return %1 : tensor<1x2x4xf32>
}

// CHECK-LABEL: func.func @scale_and_shift_after_matmul_fold
// CHECK:         %[[W:.*]] = nn.constant dense<6.0>
// CHECK-NEXT:    %[[MATMUL:.*]] = nn.matmul %x, %[[W]]
// CHECK:         nn.add %[[MATMUL]]
// CHECK-NOT:     nn.mul
func.func @scale_and_shift_after_matmul_fold(%x: tensor<4x1xf32>) -> tensor<4x2xf32> {
  %w = nn.constant dense<2.0> : tensor<1x2xf32>
  %c = nn.constant dense<3.0> : tensor<2xf32>
  %b = nn.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %0 = nn.matmul %x, %w : (tensor<4x1xf32>, tensor<1x2xf32>) -> tensor<4x2xf32>
  %1 = nn.broadcast %b : (tensor<2xf32>) -> tensor<4x2xf32>
  %2 = nn.add %0, %1 : (tensor<4x2xf32>, tensor<4x2xf32>) -> tensor<4x2xf32>
  %3 = nn.broadcast %c : (tensor<2xf32>) -> tensor<4x2xf32>
  %4 = nn.mul %2, %3 : (tensor<4x2xf32>, tensor<4x2xf32>) -> tensor<4x2xf32>
  func.return %4 : tensor<4x2xf32>
}

// Others read the convolution unscaled.
// CHECK-LABEL: func.func @shared_convolution_keeps_its_filter
// CHECK:         nn.conv %x, %w
// CHECK:         nn.mul
func.func @shared_convolution_keeps_its_filter(%x: tensor<1x1x4xf32>, %w: tensor<2x1x1xf32>) -> (tensor<1x2x4xf32>, tensor<1x2x4xf32>) {
  %c = nn.constant dense<3.0> : tensor<f32>
  %0 = nn.conv %x, %w {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<1x1x4xf32>, tensor<2x1x1xf32>) -> tensor<1x2x4xf32>
  %1 = nn.broadcast %c : (tensor<f32>) -> tensor<1x2x4xf32>
  %2 = nn.mul %0, %1 : (tensor<1x2x4xf32>, tensor<1x2x4xf32>) -> tensor<1x2x4xf32>
  func.return %0, %2 : tensor<1x2x4xf32>, tensor<1x2x4xf32>
}

// Scales that differ along a spatial axis are no channel scales.
// CHECK-LABEL: func.func @spatial_scale_stays
// CHECK:         nn.conv
// CHECK:         nn.mul
func.func @spatial_scale_stays(%x: tensor<1x1x2xf32>) -> tensor<1x2x2xf32> {
  %w = nn.constant dense<1.0> : tensor<2x1x1xf32>
  %c = nn.constant dense<[3.0, 4.0]> : tensor<2xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<1x1x2xf32>, tensor<2x1x1xf32>) -> tensor<1x2x2xf32>
  %1 = nn.broadcast %c : (tensor<2xf32>) -> tensor<1x2x2xf32>
  %2 = nn.mul %0, %1 : (tensor<1x2x2xf32>, tensor<1x2x2xf32>) -> tensor<1x2x2xf32>
  func.return %2 : tensor<1x2x2xf32>
}

// CHECK-LABEL: func.func @batch_norm_alone_is_scale_and_shift
// CHECK:         nn.mul
// CHECK:         nn.add
// CHECK-NOT:     nn.batch_norm
func.func @batch_norm_alone_is_scale_and_shift(%x: tensor<1x2x4xf32>) -> tensor<1x2x4xf32> {
  %v = nn.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %1 = nn.batch_norm %x, %v, %v, %v, %v {axis = 1 : i64, epsilon = 0.0 : f64} : (tensor<1x2x4xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<1x2x4xf32>
  func.return %1 : tensor<1x2x4xf32>
}
