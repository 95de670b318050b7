// RUN: nnc-opt %s -p decompose-nn | filecheck %s

// CHECK-LABEL: func.func @softmax
// CHECK-NEXT:    %[[MAX:.*]] = nn.reduce %x {kind = "max", axes = array<i64: 1>, keep_dims = true}
// CHECK-NEXT:    %[[SPREAD:.*]] = nn.broadcast %[[MAX]]
// CHECK-NEXT:    %[[CENTRED:.*]] = nn.sub %x, %[[SPREAD]]
// CHECK-NEXT:    %[[EXP:.*]] = nn.exp %[[CENTRED]]
// CHECK-NEXT:    %[[SUM:.*]] = nn.reduce %[[EXP]] {kind = "sum", axes = array<i64: 1>, keep_dims = true}
// CHECK-NEXT:    %[[FACTOR:.*]] = nn.reciprocal %[[SUM]]
// CHECK-NEXT:    %[[FACTORS:.*]] = nn.broadcast %[[FACTOR]]
// CHECK-NEXT:    nn.mul %[[EXP]], %[[FACTORS]]
func.func @softmax(%x: tensor<2x7xf32>) -> tensor<2x7xf32> {
  %0 = nn.softmax %x {axis = -1 : i64} : (tensor<2x7xf32>) -> tensor<2x7xf32>
  func.return %0 : tensor<2x7xf32>
}

// Sums of 16-bit floats are taken in f32.
// CHECK-LABEL: func.func @softmax_of_f16
// CHECK-NEXT:    nn.cast %x : (tensor<2x7xf16>) -> tensor<2x7xf32>
// CHECK:         nn.cast {{.*}} : (tensor<2x7xf32>) -> tensor<2x7xf16>
// CHECK-NEXT:    func.return
func.func @softmax_of_f16(%x: tensor<2x7xf16>) -> tensor<2x7xf16> {
  %0 = nn.softmax %x {axis = 1 : i64} : (tensor<2x7xf16>) -> tensor<2x7xf16>
  func.return %0 : tensor<2x7xf16>
}

// CHECK-LABEL: func.func @mean_over_a_known_size
// CHECK-NEXT:    nn.reduce %x {kind = "sum"
// CHECK-NEXT:    nn.constant dense<0.25>
// CHECK-NEXT:    nn.broadcast
// CHECK-NEXT:    nn.mul
func.func @mean_over_a_known_size(%x: tensor<2x4xf32>) -> tensor<2x1xf32> {
  %0 = nn.reduce %x {kind = "mean", axes = array<i64: 1>, keep_dims = true} : (tensor<2x4xf32>) -> tensor<2x1xf32>
  func.return %0 : tensor<2x1xf32>
}

// CHECK-LABEL: func.func @mean_over_a_symbol
// CHECK-NEXT:    nn.reduce %x {kind = "sum"
// CHECK-NEXT:    nn.dims <W>
// CHECK:         nn.cast
// CHECK:         nn.div
func.func @mean_over_a_symbol(%x: tensor<2x?xf32, #nn.shape<2, W>>) -> tensor<2x1xf32> {
  %0 = nn.reduce %x {kind = "mean", axes = array<i64: 1>, keep_dims = true} : (tensor<2x?xf32, #nn.shape<2, W>>) -> tensor<2x1xf32>
  func.return %0 : tensor<2x1xf32>
}

// CHECK-LABEL: func.func @layer_norm
// CHECK:         nn.reduce {{.*}} {kind = "sum", axes = array<i64: 1, 2>
// CHECK:         nn.sub
// CHECK:         nn.reduce {{.*}} {kind = "sum", axes = array<i64: 1, 2>
// CHECK:         nn.sqrt
// CHECK-NOT:     nn.layer_norm
func.func @layer_norm(%x: tensor<2x3x4xf32>, %s: tensor<3x4xf32>) -> tensor<2x3x4xf32> {
  %0 = nn.layer_norm %x, %s {axis = 1 : i64, epsilon = 1.0e-05 : f64} : (tensor<2x3x4xf32>, tensor<3x4xf32>) -> tensor<2x3x4xf32>
  func.return %0 : tensor<2x3x4xf32>
}

// CHECK-LABEL: func.func @batch_norm_of_inputs
// CHECK:         nn.sqrt
// CHECK:         nn.mul
// CHECK:         nn.add
// CHECK-NOT:     nn.batch_norm
func.func @batch_norm_of_inputs(%x: tensor<1x2x4xf32>, %v: tensor<2xf32>) -> tensor<1x2x4xf32> {
  %0 = nn.batch_norm %x, %v, %v, %v, %v {axis = 1 : i64, epsilon = 0.0 : f64} : (tensor<1x2x4xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<1x2x4xf32>
  func.return %0 : tensor<1x2x4xf32>
}

// Kernel and stride 2: a 1x1 convolution with four times the channels, then a shuffle.
// CHECK-LABEL: func.func @conv_transpose_with_kernel_of_its_stride
// CHECK:         nn.conv {{.*}}padding = #nn.shape<0, 0, 0, 0>, layout = "channels_last"{{.*}} -> tensor<1x5x5x12xf32>
// CHECK-NOT:     nn.slice
// CHECK:         nn.transpose {{.*}} -> tensor<1x3x10x10xf32>
func.func @conv_transpose_with_kernel_of_its_stride(%x: tensor<1x4x5x5xf32>, %w: tensor<4x3x2x2xf32>) -> tensor<1x3x10x10xf32> {
  %0 = nn.conv_transpose %x, %w {strides = array<i64: 2, 2>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_first", groups = 1 : i64, output_padding = array<i64: 0, 0>} : (tensor<1x4x5x5xf32>, tensor<4x3x2x2xf32>) -> tensor<1x3x10x10xf32>
  func.return %0 : tensor<1x3x10x10xf32>
}

// Its bias is added before the shuffle.
// CHECK-LABEL: func.func @conv_transpose_with_bias
// CHECK:         %[[CONV:.*]] = nn.conv
// CHECK:         nn.add %[[CONV]]
// CHECK:         nn.reshape
func.func @conv_transpose_with_bias(%x: tensor<1x4x5xf32>, %w: tensor<4x2x2xf32>) -> tensor<1x2x10xf32> {
  %b = nn.constant dense<[[1.0], [2.0]]> : tensor<2x1xf32>
  %0 = nn.conv_transpose %x, %w {strides = array<i64: 2>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_first", groups = 1 : i64, output_padding = array<i64: 0>} : (tensor<1x4x5xf32>, tensor<4x2x2xf32>) -> tensor<1x2x10xf32>
  %1 = nn.broadcast %b : (tensor<2x1xf32>) -> tensor<1x2x10xf32>
  %2 = nn.add %0, %1 : (tensor<1x2x10xf32>, tensor<1x2x10xf32>) -> tensor<1x2x10xf32>
  func.return %2 : tensor<1x2x10xf32>
}

// With eight channels or more, each phase is a convolution with the taps that it needs:
// of three taps, phase 0 has one and phase 1 has two.
// CHECK-LABEL: func.func @wide_conv_transpose
// CHECK:         %[[PADDED:.*]] = nn.pad {{.*}} {low = #nn.shape<0, 0, 0>, high = #nn.shape<0, 1, 0>
// CHECK:         %[[FIRST:.*]] = nn.slice %[[PADDED]]
// CHECK:         %[[EVEN:.*]] = nn.conv %[[FIRST]], {{.*}}tensor<1x4x8xf32>) -> tensor<1x5x8xf32>
// CHECK:         %[[ODD:.*]] = nn.conv %[[PADDED]], {{.*}}tensor<2x4x8xf32>) -> tensor<1x5x8xf32>
// CHECK:         %[[A:.*]] = nn.reshape %[[EVEN]] {{.*}} -> tensor<1x5x1x8xf32>
// CHECK:         %[[B:.*]] = nn.reshape %[[ODD]] {{.*}} -> tensor<1x5x1x8xf32>
// CHECK:         nn.concat %[[A]], %[[B]] {axis = 2 : i64}
// CHECK-NEXT:    nn.reshape {{.*}} -> tensor<1x10x8xf32>
func.func @wide_conv_transpose(%x: tensor<1x5x4xf32>, %w: tensor<3x8x4xf32>) -> tensor<1x10x8xf32> {
  %0 = nn.conv_transpose %x, %w {strides = array<i64: 2>, dilations = array<i64: 1>, padding = #nn.shape<1, 1>, layout = "channels_last", groups = 1 : i64, output_padding = array<i64: 1>} : (tensor<1x5x4xf32>, tensor<3x8x4xf32>) -> tensor<1x10x8xf32>
  func.return %0 : tensor<1x10x8xf32>
}

// Sixteen phases are too many.
// CHECK-LABEL: func.func @conv_transpose_of_many_phases
// CHECK:         nn.conv {{.*}} -> tensor<1x5x5x128xf32>
// CHECK-NOT:     nn.conv
func.func @conv_transpose_of_many_phases(%x: tensor<1x5x5x4xf32>, %w: tensor<4x4x8x4xf32>) -> tensor<1x20x20x8xf32> {
  %0 = nn.conv_transpose %x, %w {strides = array<i64: 4, 4>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_last", groups = 1 : i64, output_padding = array<i64: 0, 0>} : (tensor<1x5x5x4xf32>, tensor<4x4x8x4xf32>) -> tensor<1x20x20x8xf32>
  func.return %0 : tensor<1x20x20x8xf32>
}

// A kernel of 1 and stride 2: phase 1 has no tap.
// CHECK-LABEL: func.func @conv_transpose_with_an_empty_phase
// CHECK:         nn.conv {{.*}} -> tensor<1x5x16xf32>
// CHECK-NOT:     nn.conv
func.func @conv_transpose_with_an_empty_phase(%x: tensor<1x5x4xf32>, %w: tensor<1x8x4xf32>) -> tensor<1x9x8xf32> {
  %0 = nn.conv_transpose %x, %w {strides = array<i64: 2>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_last", groups = 1 : i64, output_padding = array<i64: 0>} : (tensor<1x5x4xf32>, tensor<1x8x4xf32>) -> tensor<1x9x8xf32>
  func.return %0 : tensor<1x9x8xf32>
}

// CHECK-LABEL: func.func @mirrored_border_is_two_slices
// CHECK-NEXT:    %[[LOW:.*]] = nn.slice %x {offsets = #nn.shape<0, 2>, steps = array<i64: 1, -1>} {{.*}} -> tensor<2x2xf32>
// CHECK-NEXT:    %[[HIGH:.*]] = nn.slice %x {offsets = #nn.shape<0, 3>, steps = array<i64: 1, -1>} {{.*}} -> tensor<2x1xf32>
// CHECK-NEXT:    nn.concat %[[LOW]], %x, %[[HIGH]] {axis = 1 : i64}
// CHECK-NEXT:    func.return
func.func @mirrored_border_is_two_slices(%x: tensor<2x5xf32>) -> tensor<2x8xf32> {
  %0 = nn.pad %x {low = #nn.shape<0, 2>, high = #nn.shape<0, 1>, mode = "reflect"} : (tensor<2x5xf32>) -> tensor<2x8xf32>
  func.return %0 : tensor<2x8xf32>
}

// CHECK-LABEL: func.func @border_of_equal_elements_is_a_broadcast
// CHECK-NEXT:    %[[LAST:.*]] = nn.slice %x {offsets = #nn.shape<0, 4>, {{.*}} -> tensor<2x1xf32>
// CHECK-NEXT:    %[[HIGH:.*]] = nn.broadcast %[[LAST]] {{.*}} -> tensor<2x9xf32>
// CHECK-NEXT:    nn.concat %x, %[[HIGH]]
func.func @border_of_equal_elements_is_a_broadcast(%x: tensor<2x5xf32>) -> tensor<2x14xf32> {
  %0 = nn.pad %x {low = #nn.shape<0, 0>, high = #nn.shape<0, 9>, mode = "edge"} : (tensor<2x5xf32>) -> tensor<2x14xf32>
  func.return %0 : tensor<2x14xf32>
}

// Mirrored more than once.
// CHECK-LABEL: func.func @border_longer_than_the_operand_stays
// CHECK-NEXT:    nn.pad
func.func @border_longer_than_the_operand_stays(%x: tensor<2x5xf32>) -> tensor<2x10xf32> {
  %0 = nn.pad %x {low = #nn.shape<0, 5>, high = #nn.shape<0, 0>, mode = "reflect"} : (tensor<2x5xf32>) -> tensor<2x10xf32>
  func.return %0 : tensor<2x10xf32>
}

// It may be too short when the model runs.
// CHECK-LABEL: func.func @border_of_an_unknown_size_stays
// CHECK-NEXT:    nn.pad
func.func @border_of_an_unknown_size_stays(%x: tensor<2x?xf32, #nn.shape<2, N>>) -> tensor<2x?xf32, #nn.shape<2, N + 1>> {
  %0 = nn.pad %x {low = #nn.shape<0, 1>, high = #nn.shape<0, 0>, mode = "wrap"} : (tensor<2x?xf32, #nn.shape<2, N>>) -> tensor<2x?xf32, #nn.shape<2, N + 1>>
  func.return %0 : tensor<2x?xf32, #nn.shape<2, N + 1>>
}

// CHECK-LABEL: func.func @other_ops_stay
// CHECK-NEXT:    nn.gather
// CHECK-NEXT:    nn.reduce {{.*}} {kind = "max"
func.func @other_ops_stay(%x: tensor<2x4xf32>, %i: tensor<3xi64>) -> tensor<3x1xf32> {
  %0 = nn.gather %x, %i {axis = 0 : i64} : (tensor<2x4xf32>, tensor<3xi64>) -> tensor<3x4xf32>
  %1 = nn.reduce %0 {kind = "max", axes = array<i64: 1>, keep_dims = true} : (tensor<3x4xf32>) -> tensor<3x1xf32>
  func.return %1 : tensor<3x1xf32>
}
