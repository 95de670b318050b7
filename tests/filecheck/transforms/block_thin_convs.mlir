// RUN: nnc-opt %s -p block-thin-convs{target=avx512} | filecheck %s

// Sixteen positions a block; the activation comes before the positions are spread out.
// CHECK-LABEL: func.func @filter_of_a_signal
// CHECK:         %[[W:.*]] = nn.weight {{.*}} : tensor<31x1x16xf32>
// CHECK:         %[[CONV:.*]] = nn.conv %x, %[[W]] {strides = array<i64: 16>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, {{.*}} -> tensor<2x4x16xf32>
// CHECK:         %[[SUM:.*]] = nn.add %[[CONV]], %{{.*}} : (tensor<2x4x16xf32>
// CHECK-NEXT:    %[[RELU:.*]] = nn.relu %[[SUM]]
// CHECK-NEXT:    nn.reshape %[[RELU]] {{.*}} -> tensor<2x64x1xf32>
// CHECK-NEXT:    func.return
func.func @filter_of_a_signal(%x: tensor<2x79x1xf32>) -> tensor<2x64x1xf32> {
  %w = nn.constant dense<0.5> : tensor<16x1x1xf32>
  %b = nn.constant dense<0.25> : tensor<1xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_last", groups = 1 : i64} : (tensor<2x79x1xf32>, tensor<16x1x1xf32>) -> tensor<2x64x1xf32>
  %1 = nn.broadcast %b : (tensor<1xf32>) -> tensor<2x64x1xf32>
  %2 = nn.add %0, %1 : (tensor<2x64x1xf32>, tensor<2x64x1xf32>) -> tensor<2x64x1xf32>
  %3 = nn.relu %2 : (tensor<2x64x1xf32>) -> tensor<2x64x1xf32>
  func.return %3 : tensor<2x64x1xf32>
}

// The last block is computed from padding, and cropped.
// CHECK-LABEL: func.func @size_that_is_not_whole_blocks
// CHECK:         nn.conv {{.*}}padding = #nn.shape<0, 14>{{.*}} -> tensor<1x5x16xf32>
// CHECK-NEXT:    %[[ALL:.*]] = nn.reshape {{.*}} -> tensor<1x80x1xf32>
// CHECK-NEXT:    nn.slice %[[ALL]] {{.*}} -> tensor<1x66x1xf32>
func.func @size_that_is_not_whole_blocks(%x: tensor<1x81x1xf32>) -> tensor<1x66x1xf32> {
  %w = nn.constant dense<0.5> : tensor<16x1x1xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_last", groups = 1 : i64} : (tensor<1x81x1xf32>, tensor<16x1x1xf32>) -> tensor<1x66x1xf32>
  func.return %0 : tensor<1x66x1xf32>
}

// CHECK-LABEL: func.func @many_channels_stay
// CHECK:         nn.conv %x, %w
func.func @many_channels_stay(%x: tensor<1x79x1xf32>) -> tensor<1x64x16xf32> {
  %w = nn.constant dense<0.5> : tensor<16x1x16xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_last", groups = 1 : i64} : (tensor<1x79x1xf32>, tensor<16x1x16xf32>) -> tensor<1x64x16xf32>
  func.return %0 : tensor<1x64x16xf32>
}

// A window of one tap would be eight times as wide.
// CHECK-LABEL: func.func @single_taps_stay
// CHECK:         nn.conv %x, %w
func.func @single_taps_stay(%x: tensor<1x64x4xf32>) -> tensor<1x64x1xf32> {
  %w = nn.constant dense<0.5> : tensor<1x4x1xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_last", groups = 1 : i64} : (tensor<1x64x4xf32>, tensor<1x4x1xf32>) -> tensor<1x64x1xf32>
  func.return %0 : tensor<1x64x1xf32>
}

// CHECK-LABEL: func.func @windows_of_images_stay
// CHECK:         nn.conv %x, %w
func.func @windows_of_images_stay(%x: tensor<1x18x79x1xf32>) -> tensor<1x16x64x1xf32> {
  %w = nn.constant dense<0.5> : tensor<3x16x1x1xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_last", groups = 1 : i64} : (tensor<1x18x79x1xf32>, tensor<3x16x1x1xf32>) -> tensor<1x16x64x1xf32>
  func.return %0 : tensor<1x16x64x1xf32>
}

// CHECK-LABEL: func.func @filters_that_are_inputs_stay
// CHECK:         nn.conv %x, %w
func.func @filters_that_are_inputs_stay(%x: tensor<1x79x1xf32>, %w: tensor<16x1x1xf32>) -> tensor<1x64x1xf32> {
  %0 = nn.conv %x, %w {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_last", groups = 1 : i64} : (tensor<1x79x1xf32>, tensor<16x1x1xf32>) -> tensor<1x64x1xf32>
  func.return %0 : tensor<1x64x1xf32>
}
