// RUN: nnc-opt %s -p canonicalize-nn | filecheck %s

// CHECK-LABEL: func.func @transposes_cancel
// CHECK-NEXT:    nn.relu %x : (tensor<1x3x4x5xf32>) -> tensor<1x3x4x5xf32>
// CHECK-NOT:     nn.transpose
func.func @transposes_cancel(%x: tensor<1x3x4x5xf32>) -> tensor<1x3x4x5xf32> {
  %0 = nn.transpose %x {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x3x4x5xf32>) -> tensor<1x4x5x3xf32>
  %1 = nn.transpose %0 {permutation = array<i64: 0, 3, 1, 2>} : (tensor<1x4x5x3xf32>) -> tensor<1x3x4x5xf32>
  %2 = nn.relu %1 : (tensor<1x3x4x5xf32>) -> tensor<1x3x4x5xf32>
  func.return %2 : tensor<1x3x4x5xf32>
}

// CHECK-LABEL: func.func @transposes_merge
// CHECK-NEXT:    nn.transpose %x {permutation = array<i64: 2, 0, 1>}
// CHECK-NEXT:    func.return
func.func @transposes_merge(%x: tensor<3x4x5xf32>) -> tensor<5x3x4xf32> {
  %0 = nn.transpose %x {permutation = array<i64: 1, 2, 0>} : (tensor<3x4x5xf32>) -> tensor<4x5x3xf32>
  %1 = nn.transpose %0 {permutation = array<i64: 1, 2, 0>} : (tensor<4x5x3xf32>) -> tensor<5x3x4xf32>
  func.return %1 : tensor<5x3x4xf32>
}

// CHECK-LABEL: func.func @chain_in_the_order_of_its_source_is_a_reshape
// CHECK-NEXT:    nn.reshape %x : (tensor<2x4x5x3xf32>) -> tensor<2x20x3xf32>
// CHECK-NEXT:    func.return
func.func @chain_in_the_order_of_its_source_is_a_reshape(%x: tensor<2x4x5x3xf32>) -> tensor<2x20x3xf32> {
  %0 = nn.transpose %x {permutation = array<i64: 0, 3, 1, 2>} : (tensor<2x4x5x3xf32>) -> tensor<2x3x4x5xf32>
  %1 = nn.reshape %0 : (tensor<2x3x4x5xf32>) -> tensor<2x3x20xf32>
  %2 = nn.transpose %1 {permutation = array<i64: 0, 2, 1>} : (tensor<2x3x20xf32>) -> tensor<2x20x3xf32>
  func.return %2 : tensor<2x20x3xf32>
}

// A channel shuffle does move elements: one transpose stays.
// CHECK-LABEL: func.func @chain_in_another_order_keeps_one_transpose
// CHECK-NEXT:    nn.reshape %x : {{.*}} -> tensor<40x2x3xf32>
// CHECK-NEXT:    nn.transpose {{.*}} {permutation = array<i64: 0, 2, 1>}
// CHECK-NEXT:    nn.reshape {{.*}} -> tensor<2x4x5x6xf32>
// CHECK-NEXT:    func.return
func.func @chain_in_another_order_keeps_one_transpose(%x: tensor<2x4x5x6xf32>) -> tensor<2x4x5x6xf32> {
  %0 = nn.transpose %x {permutation = array<i64: 0, 3, 1, 2>} : (tensor<2x4x5x6xf32>) -> tensor<2x6x4x5xf32>
  %1 = nn.reshape %0 : (tensor<2x6x4x5xf32>) -> tensor<2x2x3x4x5xf32>
  %2 = nn.transpose %1 {permutation = array<i64: 0, 2, 1, 3, 4>} : (tensor<2x2x3x4x5xf32>) -> tensor<2x3x2x4x5xf32>
  %3 = nn.reshape %2 : (tensor<2x3x2x4x5xf32>) -> tensor<2x6x4x5xf32>
  %4 = nn.transpose %3 {permutation = array<i64: 0, 2, 3, 1>} : (tensor<2x6x4x5xf32>) -> tensor<2x4x5x6xf32>
  func.return %4 : tensor<2x4x5x6xf32>
}

// CHECK-LABEL: func.func @splitting_reshape_comes_before_transpose
// CHECK-NEXT:    nn.reshape %x : {{.*}} -> tensor<?x7x2x4xf32, #nn.shape<N, 7, 2, 4>>
// CHECK-NEXT:    nn.transpose {{.*}} {permutation = array<i64: 0, 2, 3, 1>}
// CHECK-NEXT:    func.return
func.func @splitting_reshape_comes_before_transpose(%x: tensor<?x7x8xf32, #nn.shape<N, 7, 8>>) -> tensor<?x2x4x7xf32, #nn.shape<N, 2, 4, 7>> {
  %0 = nn.transpose %x {permutation = array<i64: 0, 2, 1>} : (tensor<?x7x8xf32, #nn.shape<N, 7, 8>>) -> tensor<?x8x7xf32, #nn.shape<N, 8, 7>>
  %1 = nn.reshape %0 : (tensor<?x8x7xf32, #nn.shape<N, 8, 7>>) -> tensor<?x2x4x7xf32, #nn.shape<N, 2, 4, 7>>
  func.return %1 : tensor<?x2x4x7xf32, #nn.shape<N, 2, 4, 7>>
}

// CHECK-LABEL: func.func @merging_reshape_stays_behind_transpose
// CHECK-NEXT:    nn.transpose
// CHECK-NEXT:    nn.reshape
// CHECK-NEXT:    func.return
func.func @merging_reshape_stays_behind_transpose(%x: tensor<3x7x8xf32>) -> tensor<3x56xf32> {
  %0 = nn.transpose %x {permutation = array<i64: 0, 2, 1>} : (tensor<3x7x8xf32>) -> tensor<3x8x7xf32>
  %1 = nn.reshape %0 : (tensor<3x8x7xf32>) -> tensor<3x56xf32>
  func.return %1 : tensor<3x56xf32>
}

// CHECK-LABEL: func.func @slice_of_one_concat_operand
// CHECK-NEXT:    nn.slice %y {offsets = #nn.shape<0, 1>, {{.*}}
// CHECK-NEXT:    func.return
func.func @slice_of_one_concat_operand(%x: tensor<2x3xf32>, %y: tensor<2x4xf32>) -> tensor<2x2xf32> {
  %0 = nn.concat %x, %y {axis = 1 : i64} : (tensor<2x3xf32>, tensor<2x4xf32>) -> tensor<2x7xf32>
  %1 = nn.slice %0 {offsets = #nn.shape<0, 4>, steps = array<i64: 1, 1>} : (tensor<2x7xf32>) -> tensor<2x2xf32>
  func.return %1 : tensor<2x2xf32>
}

// CHECK-LABEL: func.func @slice_across_concat_operands_stays
// CHECK-NEXT:    nn.concat
// CHECK-NEXT:    nn.slice
func.func @slice_across_concat_operands_stays(%x: tensor<2x3xf32>, %y: tensor<2x4xf32>) -> tensor<2x2xf32> {
  %0 = nn.concat %x, %y {axis = 1 : i64} : (tensor<2x3xf32>, tensor<2x4xf32>) -> tensor<2x7xf32>
  %1 = nn.slice %0 {offsets = #nn.shape<0, 2>, steps = array<i64: 1, 1>} : (tensor<2x7xf32>) -> tensor<2x2xf32>
  func.return %1 : tensor<2x2xf32>
}

// CHECK-LABEL: func.func @concat_of_both_halves_is_the_whole
// CHECK-NEXT:    nn.concat %x, %y {axis = 1 : i64}
// CHECK-NEXT:    func.return
func.func @concat_of_both_halves_is_the_whole(%x: tensor<2x6xf32>, %y: tensor<2x4xf32>) -> tensor<2x10xf32> {
  %0 = nn.slice %x {offsets = #nn.shape<0, 0>, steps = array<i64: 1, 1>} : (tensor<2x6xf32>) -> tensor<2x3xf32>
  %1 = nn.slice %x {offsets = #nn.shape<0, 3>, steps = array<i64: 1, 1>} : (tensor<2x6xf32>) -> tensor<2x3xf32>
  %2 = nn.concat %0, %1, %y {axis = 1 : i64} : (tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x4xf32>) -> tensor<2x10xf32>
  func.return %2 : tensor<2x10xf32>
}

// CHECK-LABEL: func.func @concat_of_swapped_halves_stays
// CHECK:         nn.concat %{{.*}}, %{{.*}} {axis = 1 : i64}
func.func @concat_of_swapped_halves_stays(%x: tensor<2x6xf32>) -> tensor<2x6xf32> {
  %0 = nn.slice %x {offsets = #nn.shape<0, 0>, steps = array<i64: 1, 1>} : (tensor<2x6xf32>) -> tensor<2x3xf32>
  %1 = nn.slice %x {offsets = #nn.shape<0, 3>, steps = array<i64: 1, 1>} : (tensor<2x6xf32>) -> tensor<2x3xf32>
  %2 = nn.concat %1, %0 {axis = 1 : i64} : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x6xf32>
  func.return %2 : tensor<2x6xf32>
}

// Rows of one half beside rows of the other one.
// CHECK-LABEL: func.func @concat_along_another_axis_stays
// CHECK:         nn.concat %{{.*}}, %{{.*}} {axis = 0 : i64}
func.func @concat_along_another_axis_stays(%x: tensor<2x6xf32>) -> tensor<4x3xf32> {
  %0 = nn.slice %x {offsets = #nn.shape<0, 0>, steps = array<i64: 1, 1>} : (tensor<2x6xf32>) -> tensor<2x3xf32>
  %1 = nn.slice %x {offsets = #nn.shape<0, 3>, steps = array<i64: 1, 1>} : (tensor<2x6xf32>) -> tensor<2x3xf32>
  %2 = nn.concat %0, %1 {axis = 0 : i64} : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<4x3xf32>
  func.return %2 : tensor<4x3xf32>
}

// CHECK-LABEL: func.func @concat_of_neighbours_of_reversed_slices
// CHECK-NEXT:    nn.slice %x {offsets = #nn.shape<5>, steps = array<i64: -1>} : (tensor<6xf32>) -> tensor<4xf32>
// CHECK-NEXT:    func.return
func.func @concat_of_neighbours_of_reversed_slices(%x: tensor<6xf32>) -> tensor<4xf32> {
  %0 = nn.slice %x {offsets = #nn.shape<5>, steps = array<i64: -1>} : (tensor<6xf32>) -> tensor<3xf32>
  %1 = nn.slice %x {offsets = #nn.shape<2>, steps = array<i64: -1>} : (tensor<6xf32>) -> tensor<1xf32>
  %2 = nn.concat %0, %1 {axis = 0 : i64} : (tensor<3xf32>, tensor<1xf32>) -> tensor<4xf32>
  func.return %2 : tensor<4xf32>
}

// CHECK-LABEL: func.func @gather_of_one_position_is_a_slice
// CHECK-NEXT:    nn.slice %x {offsets = #nn.shape<0, 4>, {{.*}} -> tensor<3x1xf32>
// CHECK-NEXT:    nn.reshape {{.*}} -> tensor<3xf32>
func.func @gather_of_one_position_is_a_slice(%x: tensor<3x5xf32>) -> tensor<3xf32> {
  %i = nn.constant dense<-1> : tensor<i64>
  %0 = nn.gather %x, %i {axis = 1 : i64} : (tensor<3x5xf32>, tensor<i64>) -> tensor<3xf32>
  func.return %0 : tensor<3xf32>
}

// CHECK-LABEL: func.func @gather_of_scattered_positions_stays
// CHECK:         nn.gather
func.func @gather_of_scattered_positions_stays(%x: tensor<3x5xf32>) -> tensor<3x3xf32> {
  %i = nn.constant dense<[0, 1, 4]> : tensor<3xi64>
  %0 = nn.gather %x, %i {axis = 1 : i64} : (tensor<3x5xf32>, tensor<3xi64>) -> tensor<3x3xf32>
  func.return %0 : tensor<3x3xf32>
}

// CHECK-LABEL: func.func @maximum_and_minimum_are_one_clamp
// CHECK-NEXT:    nn.clamp %x {min = 0.000000e+00 : f64, max = 6.000000e+00 : f64}
// CHECK-NEXT:    func.return
func.func @maximum_and_minimum_are_one_clamp(%x: tensor<4xf32>) -> tensor<4xf32> {
  %zero = nn.constant dense<0.0> : tensor<f32>
  %six = nn.constant dense<6.0> : tensor<f32>
  %0 = nn.broadcast %zero : (tensor<f32>) -> tensor<4xf32>
  %1 = nn.broadcast %six : (tensor<f32>) -> tensor<4xf32>
  %2 = nn.maximum %0, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %3 = nn.minimum %2, %1 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %3 : tensor<4xf32>
}

// CHECK-LABEL: func.func @maximum_with_zero_is_relu
// CHECK-NEXT:    nn.relu %x
func.func @maximum_with_zero_is_relu(%x: tensor<4xf32>) -> tensor<4xf32> {
  %zero = nn.constant dense<0.0> : tensor<4xf32>
  %0 = nn.maximum %x, %zero : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}

// CHECK-LABEL: func.func @neutral_constants_go
// CHECK-NEXT:    func.return %x
func.func @neutral_constants_go(%x: tensor<4xf32>) -> tensor<4xf32> {
  %zero = nn.constant dense<0.0> : tensor<4xf32>
  %one = nn.constant dense<1.0> : tensor<4xf32>
  %0 = nn.add %zero, %x : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %1 = nn.mul %0, %one : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %2 = nn.div %1, %one : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %2 : tensor<4xf32>
}

// CHECK-LABEL: func.func @division_by_power_of_two_is_a_product
// CHECK:         nn.constant dense<0.125>
// CHECK:         nn.mul
func.func @division_by_power_of_two_is_a_product(%x: tensor<4xf32>) -> tensor<4xf32> {
  %c = nn.constant dense<8.0> : tensor<4xf32>
  %0 = nn.div %x, %c : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}

// A third is not exact.
// CHECK-LABEL: func.func @other_division_stays
// CHECK:         nn.div
func.func @other_division_stays(%x: tensor<4xf32>) -> tensor<4xf32> {
  %c = nn.constant dense<3.0> : tensor<4xf32>
  %0 = nn.div %x, %c : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}

// CHECK-LABEL: func.func @squares_and_roots
// CHECK-NEXT:    %[[SQUARE:.*]] = nn.mul %x, %x
// CHECK-NEXT:    nn.sqrt %[[SQUARE]]
// CHECK-NEXT:    func.return
func.func @squares_and_roots(%x: tensor<4xf32>) -> tensor<4xf32> {
  %two = nn.constant dense<2.0> : tensor<4xf32>
  %half = nn.constant dense<0.5> : tensor<4xf32>
  %0 = nn.pow %x, %two : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %1 = nn.pow %0, %half : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %1 : tensor<4xf32>
}

// As local response normalisation has it.
// CHECK-LABEL: func.func @three_quarters_are_roots
// CHECK-NEXT:    %[[ROOT:.*]] = nn.sqrt %x
// CHECK-NEXT:    %[[FOURTH:.*]] = nn.sqrt %[[ROOT]]
// CHECK-NEXT:    nn.mul %[[ROOT]], %[[FOURTH]]
// CHECK-NEXT:    func.return
func.func @three_quarters_are_roots(%x: tensor<4xf32>) -> tensor<4xf32> {
  %c = nn.constant dense<0.75> : tensor<4xf32>
  %0 = nn.pow %x, %c : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}

// CHECK-LABEL: func.func @thirds_stay_powers
// CHECK:         nn.pow
func.func @thirds_stay_powers(%x: tensor<4xf32>) -> tensor<4xf32> {
  %c = nn.constant dense<0.3> : tensor<4xf32>
  %0 = nn.pow %x, %c : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}

// CHECK-LABEL: func.func @exact_cast_and_back_goes
// CHECK-NEXT:    func.return %x
func.func @exact_cast_and_back_goes(%x: tensor<4xi32>) -> tensor<4xi32> {
  %0 = nn.cast %x : (tensor<4xi32>) -> tensor<4xf64>
  %1 = nn.cast %0 : (tensor<4xf64>) -> tensor<4xi32>
  func.return %1 : tensor<4xi32>
}

// An i32 has more digits than an f32.
// CHECK-LABEL: func.func @rounding_cast_stays
// CHECK-NEXT:    nn.cast
// CHECK-NEXT:    nn.cast
func.func @rounding_cast_stays(%x: tensor<4xi32>) -> tensor<4xi32> {
  %0 = nn.cast %x : (tensor<4xi32>) -> tensor<4xf32>
  %1 = nn.cast %0 : (tensor<4xf32>) -> tensor<4xi32>
  func.return %1 : tensor<4xi32>
}

// CHECK-LABEL: func.func @op_comes_before_broadcast
// CHECK-NEXT:    nn.sigmoid %x : (tensor<2x1x3xf32>) -> tensor<2x1x3xf32>
// CHECK-NEXT:    nn.broadcast
// CHECK-NEXT:    func.return
func.func @op_comes_before_broadcast(%x: tensor<2x1x3xf32>) -> tensor<2x5x3xf32> {
  %0 = nn.broadcast %x : (tensor<2x1x3xf32>) -> tensor<2x5x3xf32>
  %1 = nn.sigmoid %0 : (tensor<2x5x3xf32>) -> tensor<2x5x3xf32>
  func.return %1 : tensor<2x5x3xf32>
}

// CHECK-LABEL: func.func @op_comes_before_rearranging
// CHECK-NEXT:    %[[MATMUL:.*]] = nn.matmul
// CHECK-NEXT:    %[[RELU:.*]] = nn.relu %[[MATMUL]]
// CHECK-NEXT:    nn.transpose %[[RELU]]
func.func @op_comes_before_rearranging(%x: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %0 = nn.matmul %x, %x : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  %1 = nn.transpose %0 {permutation = array<i64: 1, 0>} : (tensor<4x4xf32>) -> tensor<4x4xf32>
  %2 = nn.relu %1 : (tensor<4x4xf32>) -> tensor<4x4xf32>
  func.return %2 : tensor<4x4xf32>
}

// The transposed value is wanted as it is, too.
// CHECK-LABEL: func.func @op_stays_behind_shared_rearranging
// CHECK-NEXT:    nn.matmul
// CHECK-NEXT:    nn.transpose
// CHECK-NEXT:    nn.relu
func.func @op_stays_behind_shared_rearranging(%x: tensor<4x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xf32>) {
  %0 = nn.matmul %x, %x : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
  %1 = nn.transpose %0 {permutation = array<i64: 1, 0>} : (tensor<4x4xf32>) -> tensor<4x4xf32>
  %2 = nn.relu %1 : (tensor<4x4xf32>) -> tensor<4x4xf32>
  func.return %1, %2 : tensor<4x4xf32>, tensor<4x4xf32>
}

// CHECK-LABEL: func.func @reductions_keep_dims
// CHECK-NEXT:    nn.reduce %x {kind = "sum", axes = array<i64: 1>, keep_dims = true} : {{.*}} -> tensor<2x1xf32>
// CHECK-NEXT:    nn.reshape {{.*}} -> tensor<2xf32>
func.func @reductions_keep_dims(%x: tensor<2x3xf32>) -> tensor<2xf32> {
  %0 = nn.reduce %x {kind = "sum", axes = array<i64: 1>, keep_dims = false} : (tensor<2x3xf32>) -> tensor<2xf32>
  func.return %0 : tensor<2xf32>
}

// CHECK-LABEL: func.func @zero_pad_moves_into_convolution
// CHECK-NEXT:    nn.conv %x, %w {{.*}}padding = #nn.shape<1, 2, 3, 4>
func.func @zero_pad_moves_into_convolution(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) -> tensor<1x4x10x12xf32> {
  %0 = nn.pad %x {low = #nn.shape<0, 0, 1, 2>, high = #nn.shape<0, 0, 3, 4>, mode = "constant"} : (tensor<1x3x8x8xf32>) -> tensor<1x3x12x14xf32>
  %1 = nn.conv %0, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<1x3x12x14xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x10x12xf32>
  func.return %1 : tensor<1x4x10x12xf32>
}

// CHECK-LABEL: func.func @other_pad_stays
// CHECK:         nn.pad
// CHECK-NEXT:    nn.conv {{.*}}padding = #nn.shape<0, 0, 0, 0>
func.func @other_pad_stays(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) -> tensor<1x4x8x8xf32> {
  %one = nn.constant dense<1.0> : tensor<f32>
  %0 = nn.pad %x, %one {low = #nn.shape<0, 0, 1, 1>, high = #nn.shape<0, 0, 1, 1>, mode = "constant"} : (tensor<1x3x8x8xf32>, tensor<f32>) -> tensor<1x3x10x10xf32>
  %1 = nn.conv %0, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<1x3x10x10xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x8x8xf32>
  func.return %1 : tensor<1x4x8x8xf32>
}

// CHECK-LABEL: func.func @unused_ops_go
// CHECK-NEXT:    func.return %x
func.func @unused_ops_go(%x: tensor<2xf32>) -> tensor<2xf32> {
  %0 = nn.exp %x : (tensor<2xf32>) -> tensor<2xf32>
  %1 = nn.neg %0 : (tensor<2xf32>) -> tensor<2xf32>
  func.return %x : tensor<2xf32>
}

// Each activation joins its convolution.
// CHECK-LABEL: func.func @activation_goes_before_concat
// CHECK:         %[[A:.*]] = nn.matmul %x, %v
// CHECK-NEXT:    %[[B:.*]] = nn.matmul %x, %w
// CHECK-NEXT:    %[[RA:.*]] = nn.relu %[[A]]
// CHECK-NEXT:    %[[RB:.*]] = nn.relu %[[B]]
// CHECK-NEXT:    nn.concat %[[RA]], %[[RB]] {axis = 1 : i64}
func.func @activation_goes_before_concat(%x: tensor<2x4xf32>, %v: tensor<4x3xf32>, %w: tensor<4x5xf32>) -> tensor<2x8xf32> {
  %0 = nn.matmul %x, %v : (tensor<2x4xf32>, tensor<4x3xf32>) -> tensor<2x3xf32>
  %1 = nn.matmul %x, %w : (tensor<2x4xf32>, tensor<4x5xf32>) -> tensor<2x5xf32>
  %2 = nn.concat %0, %1 {axis = 1 : i64} : (tensor<2x3xf32>, tensor<2x5xf32>) -> tensor<2x8xf32>
  %3 = nn.relu %2 : (tensor<2x8xf32>) -> tensor<2x8xf32>
  func.return %3 : tensor<2x8xf32>
}

// An input is computed nowhere.
// CHECK-LABEL: func.func @activation_stays_behind_concat_of_an_input
// CHECK:         nn.matmul
// CHECK-NEXT:    nn.concat
// CHECK-NEXT:    nn.relu
func.func @activation_stays_behind_concat_of_an_input(%x: tensor<2x4xf32>, %v: tensor<4x3xf32>) -> tensor<2x7xf32> {
  %0 = nn.matmul %x, %v : (tensor<2x4xf32>, tensor<4x3xf32>) -> tensor<2x3xf32>
  %1 = nn.concat %0, %x {axis = 1 : i64} : (tensor<2x3xf32>, tensor<2x4xf32>) -> tensor<2x7xf32>
  %2 = nn.relu %1 : (tensor<2x7xf32>) -> tensor<2x7xf32>
  func.return %2 : tensor<2x7xf32>
}

// Others read the part before the activation.
// CHECK-LABEL: func.func @activation_stays_behind_concat_of_a_shared_value
// CHECK:         nn.concat
// CHECK-NEXT:    nn.relu
func.func @activation_stays_behind_concat_of_a_shared_value(%x: tensor<2x4xf32>, %v: tensor<4x3xf32>) -> (tensor<2x6xf32>, tensor<2x3xf32>) {
  %0 = nn.matmul %x, %v : (tensor<2x4xf32>, tensor<4x3xf32>) -> tensor<2x3xf32>
  %1 = nn.concat %0, %0 {axis = 1 : i64} : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x6xf32>
  %2 = nn.relu %1 : (tensor<2x6xf32>) -> tensor<2x6xf32>
  func.return %2, %0 : tensor<2x6xf32>, tensor<2x3xf32>
}
