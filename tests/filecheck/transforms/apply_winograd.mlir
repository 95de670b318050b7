// RUN: nnc-opt %s -p 'apply-winograd{target=avx512 tiles=auto}' | filecheck %s
// RUN: nnc-opt %s -p 'apply-winograd{target=avx512 tiles=auto},apply-winograd{target=avx512 tiles=auto}' | filecheck %s
// RUN: nnc-opt %s -p 'apply-winograd{target=avx512 tiles=f2}' | filecheck %s --check-prefix=F2
// RUN: nnc-opt %s -p 'apply-winograd{target=avx512 tiles=off}' | filecheck %s --check-prefix=OFF

// OFF-NOT: winograd

// CHECK-LABEL:  func.func @large_image_has_large_tiles
// CHECK:          %[[W:.*]] = nn.weight "w"
// CHECK-DAG:      %[[T:.*]] = nn.winograd_input %x {tile = 4 : i64, group = 7 : i64, padding = #nn.shape<1, 1, 1, 1>} : (tensor<1x56x56x64xf32>) -> tensor<28x36x7x64xf32>
// CHECK-DAG:      %[[U:.*]] = nn.winograd_filter %[[W]] {tile = 4 : i64} : (tensor<3x3x64x64xf32>) -> tensor<36x64x64xf32>
// CHECK:          nn.winograd_product %[[T]], %[[U]] {tile = 4 : i64, image = #nn.shape<1, 56, 56>}
// CHECK-NOT:      nn.conv
// F2-LABEL:     func.func @large_image_has_large_tiles
// F2:             nn.winograd_input %x {tile = 2 : i64, group = 8 : i64,
func.func @large_image_has_large_tiles(%x: tensor<1x56x56x64xf32>) -> tensor<1x56x56x64xf32> {
  %w = nn.weight "w" : tensor<3x3x64x64xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 1, 1, 1>, layout = "channels_last", groups = 1 : i64} : (tensor<1x56x56x64xf32>, tensor<3x3x64x64xf32>) -> tensor<1x56x56x64xf32>
  func.return %0 : tensor<1x56x56x64xf32>
}

// CHECK-LABEL:  func.func @small_image_has_small_tiles
// CHECK:          nn.winograd_input %x {tile = 2 : i64, group = 8 : i64,
func.func @small_image_has_small_tiles(%x: tensor<1x7x7x512xf32>) -> tensor<1x7x7x512xf32> {
  %w = nn.weight "w" : tensor<3x3x512x512xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 1, 1, 1>, layout = "channels_last", groups = 1 : i64} : (tensor<1x7x7x512xf32>, tensor<3x3x512x512xf32>) -> tensor<1x7x7x512xf32>
  func.return %0 : tensor<1x7x7x512xf32>
}

// CHECK-LABEL:  func.func @free_sizes_count_as_large
// CHECK:          nn.winograd_input %x {tile = 4 : i64, group = 12 : i64,
// CHECK:          image = #nn.shape<N, H, W>
func.func @free_sizes_count_as_large(%x: tensor<?x?x?x64xf32, #nn.shape<N, H, W, 64>>) -> tensor<?x?x?x64xf32, #nn.shape<N, H, W, 64>> {
  %w = nn.weight "w" : tensor<3x3x64x64xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 1, 1, 1>, layout = "channels_last", groups = 1 : i64} : (tensor<?x?x?x64xf32, #nn.shape<N, H, W, 64>>, tensor<3x3x64x64xf32>) -> tensor<?x?x?x64xf32, #nn.shape<N, H, W, 64>>
  func.return %0 : tensor<?x?x?x64xf32, #nn.shape<N, H, W, 64>>
}

// CHECK-LABEL:  func.func @few_channels_stay
// CHECK-NOT:      winograd
func.func @few_channels_stay(%x: tensor<1x56x56x3xf32>) -> tensor<1x56x56x64xf32> {
  %w = nn.weight "w" : tensor<3x3x3x64xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 1, 1, 1>, layout = "channels_last", groups = 1 : i64} : (tensor<1x56x56x3xf32>, tensor<3x3x3x64xf32>) -> tensor<1x56x56x64xf32>
  func.return %0 : tensor<1x56x56x64xf32>
}

// CHECK-LABEL:  func.func @tiny_image_stays
// CHECK-NOT:      winograd
func.func @tiny_image_stays(%x: tensor<1x3x3x64xf32>) -> tensor<1x1x1x64xf32> {
  %w = nn.weight "w" : tensor<3x3x64x64xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_last", groups = 1 : i64} : (tensor<1x3x3x64xf32>, tensor<3x3x64x64xf32>) -> tensor<1x1x1x64xf32>
  func.return %0 : tensor<1x1x1x64xf32>
}

// CHECK-LABEL:  func.func @strides_stay
// CHECK-NOT:      winograd
func.func @strides_stay(%x: tensor<1x56x56x64xf32>) -> tensor<1x28x28x64xf32> {
  %w = nn.weight "w" : tensor<3x3x64x64xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 2, 2>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 1, 0, 0>, layout = "channels_last", groups = 1 : i64} : (tensor<1x56x56x64xf32>, tensor<3x3x64x64xf32>) -> tensor<1x28x28x64xf32>
  func.return %0 : tensor<1x28x28x64xf32>
}

// CHECK-LABEL:  func.func @dilations_stay
// CHECK-NOT:      winograd
func.func @dilations_stay(%x: tensor<1x56x56x64xf32>) -> tensor<1x56x56x64xf32> {
  %w = nn.weight "w" : tensor<3x3x64x64xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 2, 2>, padding = #nn.shape<2, 2, 2, 2>, layout = "channels_last", groups = 1 : i64} : (tensor<1x56x56x64xf32>, tensor<3x3x64x64xf32>) -> tensor<1x56x56x64xf32>
  func.return %0 : tensor<1x56x56x64xf32>
}

// CHECK-LABEL:  func.func @groups_stay
// CHECK-NOT:      winograd
func.func @groups_stay(%x: tensor<1x56x56x64xf32>) -> tensor<1x56x56x64xf32> {
  %w = nn.weight "w" : tensor<3x3x32x64xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 1, 1, 1>, layout = "channels_last", groups = 2 : i64} : (tensor<1x56x56x64xf32>, tensor<3x3x32x64xf32>) -> tensor<1x56x56x64xf32>
  func.return %0 : tensor<1x56x56x64xf32>
}

// CHECK-LABEL:  func.func @other_kernels_stay
// CHECK-NOT:      winograd
func.func @other_kernels_stay(%x: tensor<1x56x56x64xf32>) -> tensor<1x56x56x64xf32> {
  %w = nn.weight "w" : tensor<3x1x64x64xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 0, 1, 0>, layout = "channels_last", groups = 1 : i64} : (tensor<1x56x56x64xf32>, tensor<3x1x64x64xf32>) -> tensor<1x56x56x64xf32>
  func.return %0 : tensor<1x56x56x64xf32>
}

// CHECK-LABEL:  func.func @filters_that_are_no_constants_stay
// CHECK-NOT:      winograd
func.func @filters_that_are_no_constants_stay(%x: tensor<1x56x56x64xf32>, %w: tensor<3x3x64x64xf32>) -> tensor<1x56x56x64xf32> {
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 1, 1, 1>, layout = "channels_last", groups = 1 : i64} : (tensor<1x56x56x64xf32>, tensor<3x3x64x64xf32>) -> tensor<1x56x56x64xf32>
  func.return %0 : tensor<1x56x56x64xf32>
}

// CHECK-LABEL:  func.func @half_precision_stays
// CHECK-NOT:      winograd
func.func @half_precision_stays(%x: tensor<1x56x56x64xf16>) -> tensor<1x56x56x64xf16> {
  %w = nn.weight "w" : tensor<3x3x64x64xf16>
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 1, 1, 1>, layout = "channels_last", groups = 1 : i64} : (tensor<1x56x56x64xf16>, tensor<3x3x64x64xf16>) -> tensor<1x56x56x64xf16>
  func.return %0 : tensor<1x56x56x64xf16>
}

// A panel that is not full is masked.
// CHECK-LABEL:  func.func @odd_channels_have_tiles_where_there_are_masks
// CHECK:          nn.winograd_product
func.func @odd_channels_have_tiles_where_there_are_masks(%x: tensor<1x80x80x96xf32>) -> tensor<1x80x80x24xf32> {
  %w = nn.weight "w" : tensor<3x3x96x24xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 1, 1, 1>, layout = "channels_last", groups = 1 : i64} : (tensor<1x80x80x96xf32>, tensor<3x3x96x24xf32>) -> tensor<1x80x80x24xf32>
  func.return %0 : tensor<1x80x80x24xf32>
}
