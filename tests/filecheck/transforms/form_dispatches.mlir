// RUN: nnc-opt %s -p form-dispatches,verify-dispatched | filecheck %s

// CHECK-LABEL: func.func @contraction_takes_its_epilogue
// CHECK-NEXT:    %[[R:.*]] = nn.dispatch(%x, %w, %b, %r) {loc_name = "fc+bias+add+relu"}
// CHECK:         nn.matmul
// CHECK-NEXT:    nn.broadcast
// CHECK-NEXT:    nn.add
// CHECK-NEXT:    nn.add
// CHECK-NEXT:    nn.relu
// CHECK-NEXT:    nn.yield
// CHECK:         func.return %[[R]]
func.func @contraction_takes_its_epilogue(%x: tensor<4x8xf32>, %w: tensor<8x2xf32>, %b: tensor<2xf32>, %r: tensor<4x2xf32>) -> tensor<4x2xf32> {
  %0 = nn.matmul %x, %w {loc_name = "fc"} : (tensor<4x8xf32>, tensor<8x2xf32>) -> tensor<4x2xf32>
  %1 = nn.broadcast %b {loc_name = "bias"} : (tensor<2xf32>) -> tensor<4x2xf32>
  %2 = nn.add %0, %1 {loc_name = "bias"} : (tensor<4x2xf32>, tensor<4x2xf32>) -> tensor<4x2xf32>
  %3 = nn.add %2, %r {loc_name = "add"} : (tensor<4x2xf32>, tensor<4x2xf32>) -> tensor<4x2xf32>
  %4 = nn.relu %3 {loc_name = "relu"} : (tensor<4x2xf32>) -> tensor<4x2xf32>
  func.return %4 : tensor<4x2xf32>
}

// x * sigmoid(x): the intermediate value is used twice, inside.
// CHECK-LABEL: func.func @intermediate_values_stay_inside
// CHECK-COUNT-1: nn.dispatch
// CHECK:         nn.yield %{{.*}} : tensor<4x2xf32>
// CHECK-NOT:     nn.dispatch
// CHECK:         func.return
func.func @intermediate_values_stay_inside(%x: tensor<4x8xf32>, %w: tensor<8x2xf32>) -> tensor<4x2xf32> {
  %0 = nn.matmul %x, %w : (tensor<4x8xf32>, tensor<8x2xf32>) -> tensor<4x2xf32>
  %1 = nn.sigmoid %0 : (tensor<4x2xf32>) -> tensor<4x2xf32>
  %2 = nn.mul %0, %1 : (tensor<4x2xf32>, tensor<4x2xf32>) -> tensor<4x2xf32>
  func.return %2 : tensor<4x2xf32>
}

// CHECK-LABEL: func.func @values_used_outside_are_results
// CHECK-NEXT:    %[[A:.*]], %[[B:.*]] = nn.dispatch(%x)
// CHECK:         func.return %[[A]], %[[B]]
func.func @values_used_outside_are_results(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %0 = nn.exp %x : (tensor<4xf32>) -> tensor<4xf32>
  %1 = nn.neg %0 : (tensor<4xf32>) -> tensor<4xf32>
  func.return %0, %1 : tensor<4xf32>, tensor<4xf32>
}

// The gate depends on the convolution, and the product on both: two dispatches before it.
// CHECK-LABEL: func.func @groups_stay_convex
// CHECK-NEXT:    %[[Y:.*]] = nn.dispatch(%x, %w)
// CHECK:         %[[S:.*]] = nn.dispatch(%[[Y]])
// CHECK:         nn.reduce
// CHECK:         nn.dispatch({{.*}}%[[Y]]
// CHECK:         nn.mul
func.func @groups_stay_convex(%x: tensor<1x8x4xf32>, %w: tensor<1x4x4xf32>, %v: tensor<4x4xf32>) -> tensor<1x8x4xf32> {
  %0 = nn.conv %x, %w {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_last", groups = 1 : i64} : (tensor<1x8x4xf32>, tensor<1x4x4xf32>) -> tensor<1x8x4xf32>
  %1 = nn.reduce %0 {kind = "sum", axes = array<i64: 1>, keep_dims = true} : (tensor<1x8x4xf32>) -> tensor<1x1x4xf32>
  %2 = nn.matmul %1, %v : (tensor<1x1x4xf32>, tensor<4x4xf32>) -> tensor<1x1x4xf32>
  %3 = nn.broadcast %2 : (tensor<1x1x4xf32>) -> tensor<1x8x4xf32>
  %4 = nn.mul %0, %3 : (tensor<1x8x4xf32>, tensor<1x8x4xf32>) -> tensor<1x8x4xf32>
  func.return %4 : tensor<1x8x4xf32>
}

// CHECK-LABEL: func.func @softmax_with_its_prologue_is_one_row_program
// CHECK-COUNT-1: nn.dispatch
// CHECK:         nn.mul
// CHECK:         nn.reduce {{.*}} {kind = "max"
// CHECK:         nn.reduce {{.*}} {kind = "sum"
// CHECK:         nn.yield %{{.*}} : tensor<2x7xf32>
// CHECK-NOT:     nn.dispatch
func.func @softmax_with_its_prologue_is_one_row_program(%x: tensor<2x7xf32>, %s: tensor<2x7xf32>) -> tensor<2x7xf32> {
  %0 = nn.mul %x, %s : (tensor<2x7xf32>, tensor<2x7xf32>) -> tensor<2x7xf32>
  %1 = nn.reduce %0 {kind = "max", axes = array<i64: 1>, keep_dims = true} : (tensor<2x7xf32>) -> tensor<2x1xf32>
  %2 = nn.broadcast %1 : (tensor<2x1xf32>) -> tensor<2x7xf32>
  %3 = nn.sub %0, %2 : (tensor<2x7xf32>, tensor<2x7xf32>) -> tensor<2x7xf32>
  %4 = nn.exp %3 : (tensor<2x7xf32>) -> tensor<2x7xf32>
  %5 = nn.reduce %4 {kind = "sum", axes = array<i64: 1>, keep_dims = true} : (tensor<2x7xf32>) -> tensor<2x1xf32>
  %6 = nn.broadcast %5 : (tensor<2x1xf32>) -> tensor<2x7xf32>
  %7 = nn.div %4, %6 : (tensor<2x7xf32>, tensor<2x7xf32>) -> tensor<2x7xf32>
  func.return %7 : tensor<2x7xf32>
}

// CHECK-LABEL: func.func @reductions_of_other_axes_are_two
// CHECK-COUNT-2: nn.dispatch
func.func @reductions_of_other_axes_are_two(%x: tensor<2x7xf32>) -> tensor<1x1xf32> {
  %0 = nn.reduce %x {kind = "max", axes = array<i64: 1>, keep_dims = true} : (tensor<2x7xf32>) -> tensor<2x1xf32>
  %1 = nn.reduce %0 {kind = "sum", axes = array<i64: 0>, keep_dims = true} : (tensor<2x1xf32>) -> tensor<1x1xf32>
  func.return %1 : tensor<1x1xf32>
}

// x * x goes with the mean of squares, not with the product that computes x.
// CHECK-LABEL: func.func @square_goes_with_its_sum
// CHECK:         nn.matmul
// CHECK-NEXT:    nn.yield
// CHECK:         nn.dispatch
// CHECK:         nn.mul
// CHECK-NEXT:    nn.reduce
func.func @square_goes_with_its_sum(%x: tensor<4x8xf32>, %w: tensor<8x2xf32>) -> (tensor<4x2xf32>, tensor<4x1xf32>) {
  %0 = nn.matmul %x, %w : (tensor<4x8xf32>, tensor<8x2xf32>) -> tensor<4x2xf32>
  %1 = nn.mul %0, %0 : (tensor<4x2xf32>, tensor<4x2xf32>) -> tensor<4x2xf32>
  %2 = nn.reduce %1 {kind = "sum", axes = array<i64: 1>, keep_dims = true} : (tensor<4x2xf32>) -> tensor<4x1xf32>
  func.return %0, %2 : tensor<4x2xf32>, tensor<4x1xf32>
}

// Attention scores: queries are read through strides, keys need a copy with the
// sequence innermost.
// CHECK-LABEL: func.func @scattered_operand_is_copied
// CHECK-NEXT:    %[[K:.*]] = nn.dispatch(%k)
// CHECK:         nn.transpose {{.*}} {permutation = array<i64: 0, 2, 3, 1>}
// CHECK:         nn.dispatch(%q, %[[K]])
// CHECK:         nn.transpose {{.*}} {permutation = array<i64: 0, 2, 1, 3>}
// CHECK-NEXT:    nn.matmul
func.func @scattered_operand_is_copied(%q: tensor<1x5x2x4xf32>, %k: tensor<1x5x2x4xf32>) -> tensor<1x2x5x5xf32> {
  %0 = nn.transpose %q {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x5x2x4xf32>) -> tensor<1x2x5x4xf32>
  %1 = nn.transpose %k {permutation = array<i64: 0, 2, 3, 1>} : (tensor<1x5x2x4xf32>) -> tensor<1x2x4x5xf32>
  %2 = nn.matmul %0, %1 : (tensor<1x2x5x4xf32>, tensor<1x2x4x5xf32>) -> tensor<1x2x5x5xf32>
  func.return %2 : tensor<1x2x5x5xf32>
}

// The context is stored transposed, so that merging the heads needs no copy.
// CHECK-LABEL: func.func @result_is_stored_through_views
// CHECK:         nn.matmul
// CHECK-NEXT:    nn.transpose
// CHECK-NEXT:    nn.reshape
// CHECK-NEXT:    nn.yield {{.*}} : tensor<1x5x8xf32>
func.func @result_is_stored_through_views(%p: tensor<1x2x5x5xf32>, %v: tensor<1x2x5x4xf32>) -> tensor<1x5x8xf32> {
  %0 = nn.matmul %p, %v : (tensor<1x2x5x5xf32>, tensor<1x2x5x4xf32>) -> tensor<1x2x5x4xf32>
  %1 = nn.transpose %0 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x2x5x4xf32>) -> tensor<1x5x2x4xf32>
  %2 = nn.reshape %1 : (tensor<1x5x2x4xf32>) -> tensor<1x5x8xf32>
  func.return %2 : tensor<1x5x8xf32>
}

// A transpose that moves the last axis is no way to store.
// CHECK-LABEL: func.func @result_with_another_last_axis_is_stored_plainly
// CHECK:         nn.matmul
// CHECK-NEXT:    nn.yield
// CHECK:         nn.transpose
// CHECK-NEXT:    nn.reshape
func.func @result_with_another_last_axis_is_stored_plainly(%p: tensor<3x5xf32>, %v: tensor<5x4xf32>) -> tensor<12xf32> {
  %0 = nn.matmul %p, %v : (tensor<3x5xf32>, tensor<5x4xf32>) -> tensor<3x4xf32>
  %1 = nn.transpose %0 {permutation = array<i64: 1, 0>} : (tensor<3x4xf32>) -> tensor<4x3xf32>
  %2 = nn.reshape %1 : (tensor<4x3xf32>) -> tensor<12xf32>
  func.return %2 : tensor<12xf32>
}

// Views, concat and constant pads stay outside.
// CHECK-LABEL: func.func @layout_ops_stay_outside
// CHECK:         nn.dispatch(%x)
// CHECK:         nn.concat
// CHECK-NEXT:    nn.pad
// CHECK-NEXT:    nn.reshape
// CHECK-NEXT:    func.return
func.func @layout_ops_stay_outside(%x: tensor<2x3xf32>) -> tensor<20xf32> {
  %0 = nn.exp %x : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %1 = nn.concat %0, %x {axis = 0 : i64} : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<4x3xf32>
  %2 = nn.pad %1 {low = #nn.shape<0, 1>, high = #nn.shape<0, 1>, mode = "constant"} : (tensor<4x3xf32>) -> tensor<4x5xf32>
  %3 = nn.reshape %2 : (tensor<4x5xf32>) -> tensor<20xf32>
  func.return %3 : tensor<20xf32>
}

// A size that is only known when the model runs is computed where it is needed.
// CHECK-LABEL: func.func @sizes_go_inside
// CHECK-NEXT:    nn.dispatch(%x)
// CHECK:         nn.reduce
// CHECK:         nn.dims <N>
// CHECK:         nn.cast
// CHECK:         nn.div
// CHECK-NEXT:    nn.yield
func.func @sizes_go_inside(%x: tensor<?x3xf32, #nn.shape<N, 3>>) -> tensor<1x3xf32> {
  %0 = nn.reduce %x {kind = "sum", axes = array<i64: 0>, keep_dims = true} : (tensor<?x3xf32, #nn.shape<N, 3>>) -> tensor<1x3xf32>
  %1 = nn.dims <N> : tensor<1xi64>
  %2 = nn.reshape %1 : (tensor<1xi64>) -> tensor<i64>
  %3 = nn.cast %2 : (tensor<i64>) -> tensor<f32>
  %4 = nn.broadcast %3 : (tensor<f32>) -> tensor<1x3xf32>
  %5 = nn.div %0, %4 : (tensor<1x3xf32>, tensor<1x3xf32>) -> tensor<1x3xf32>
  func.return %5 : tensor<1x3xf32>
}

// Equal dims of two names: the epilogue goes on behind the cast.
// CHECK-LABEL: func.func @epilogue_goes_on_behind_dim_cast
// CHECK-COUNT-1: nn.dispatch
// CHECK:         nn.matmul
// CHECK-NEXT:    nn.relu
// CHECK-NEXT:    nn.dim_cast
// CHECK-NEXT:    nn.add
// CHECK-NEXT:    nn.yield
// CHECK-NOT:     nn.dispatch
// CHECK:         func.return
func.func @epilogue_goes_on_behind_dim_cast(%x: tensor<?x8xf32, #nn.shape<N, 8>>, %w: tensor<8x2xf32>, %r: tensor<?x2xf32, #nn.shape<M, 2>>) -> tensor<?x2xf32, #nn.shape<M, 2>> {
  %0 = nn.matmul %x, %w : (tensor<?x8xf32, #nn.shape<N, 8>>, tensor<8x2xf32>) -> tensor<?x2xf32, #nn.shape<N, 2>>
  %1 = nn.relu %0 : (tensor<?x2xf32, #nn.shape<N, 2>>) -> tensor<?x2xf32, #nn.shape<N, 2>>
  %2 = nn.dim_cast %1 : (tensor<?x2xf32, #nn.shape<N, 2>>) -> tensor<?x2xf32, #nn.shape<M, 2>>
  %3 = nn.add %2, %r : (tensor<?x2xf32, #nn.shape<M, 2>>, tensor<?x2xf32, #nn.shape<M, 2>>) -> tensor<?x2xf32, #nn.shape<M, 2>>
  func.return %3 : tensor<?x2xf32, #nn.shape<M, 2>>
}

// What is computed for both names meets in one dispatch.
// CHECK-LABEL: func.func @pointwise_groups_merge_through_dim_cast
// CHECK-COUNT-1: nn.dispatch
// CHECK:         nn.resize
// CHECK:         nn.dim_cast
// CHECK:         nn.add
// CHECK-NEXT:    nn.yield
// CHECK-NOT:     nn.dispatch
// CHECK:         func.return
func.func @pointwise_groups_merge_through_dim_cast(%x: tensor<1x?x4xf32, #nn.shape<1, N, 4>>, %y: tensor<1x?x4xf32, #nn.shape<1, M, 4>>) -> tensor<1x?x4xf32, #nn.shape<1, M, 4>> {
  %0 = nn.neg %y : (tensor<1x?x4xf32, #nn.shape<1, M, 4>>) -> tensor<1x?x4xf32, #nn.shape<1, M, 4>>
  %1 = nn.resize %x {scales = array<f64: 1.0, 2.0, 1.0>, mode = "nearest", coordinate_mode = "asymmetric", nearest_mode = "floor"} : (tensor<1x?x4xf32, #nn.shape<1, N, 4>>) -> tensor<1x?x4xf32, #nn.shape<1, N * 2, 4>>
  %2 = nn.dim_cast %1 : (tensor<1x?x4xf32, #nn.shape<1, N * 2, 4>>) -> tensor<1x?x4xf32, #nn.shape<1, M, 4>>
  %3 = nn.add %0, %2 : (tensor<1x?x4xf32, #nn.shape<1, M, 4>>, tensor<1x?x4xf32, #nn.shape<1, M, 4>>) -> tensor<1x?x4xf32, #nn.shape<1, M, 4>>
  func.return %3 : tensor<1x?x4xf32, #nn.shape<1, M, 4>>
}

// A row program has one name for its rows.
// CHECK-LABEL: func.func @row_program_ends_at_dim_cast
// CHECK:         nn.dispatch
// CHECK:         nn.reduce
// CHECK:         nn.dispatch
// CHECK:         nn.dim_cast
// CHECK:         nn.add
func.func @row_program_ends_at_dim_cast(%x: tensor<?x8xf32, #nn.shape<N, 8>>, %r: tensor<?x1xf32, #nn.shape<M, 1>>) -> tensor<?x1xf32, #nn.shape<M, 1>> {
  %0 = nn.reduce %x {kind = "sum", axes = array<i64: 1>, keep_dims = true} : (tensor<?x8xf32, #nn.shape<N, 8>>) -> tensor<?x1xf32, #nn.shape<N, 1>>
  %1 = nn.dim_cast %0 : (tensor<?x1xf32, #nn.shape<N, 1>>) -> tensor<?x1xf32, #nn.shape<M, 1>>
  %2 = nn.add %1, %r : (tensor<?x1xf32, #nn.shape<M, 1>>, tensor<?x1xf32, #nn.shape<M, 1>>) -> tensor<?x1xf32, #nn.shape<M, 1>>
  func.return %2 : tensor<?x1xf32, #nn.shape<M, 1>>
}

// The sum over N is of a value named by M before: it is a dispatch of its own.
// CHECK-LABEL: func.func @row_program_starts_behind_dim_cast
// CHECK:         nn.dispatch
// CHECK:         nn.dim_cast
// CHECK:         nn.dispatch
// CHECK:         nn.reduce
func.func @row_program_starts_behind_dim_cast(%x: tensor<?x8xf32, #nn.shape<N, 8>>, %r: tensor<?x8xf32, #nn.shape<M, 8>>) -> tensor<?x1xf32, #nn.shape<M, 1>> {
  %0 = nn.exp %x : (tensor<?x8xf32, #nn.shape<N, 8>>) -> tensor<?x8xf32, #nn.shape<N, 8>>
  %1 = nn.dim_cast %0 : (tensor<?x8xf32, #nn.shape<N, 8>>) -> tensor<?x8xf32, #nn.shape<M, 8>>
  %2 = nn.add %1, %r : (tensor<?x8xf32, #nn.shape<M, 8>>, tensor<?x8xf32, #nn.shape<M, 8>>) -> tensor<?x8xf32, #nn.shape<M, 8>>
  %3 = nn.reduce %2 {kind = "sum", axes = array<i64: 1>, keep_dims = true} : (tensor<?x8xf32, #nn.shape<M, 8>>) -> tensor<?x1xf32, #nn.shape<M, 1>>
  func.return %3 : tensor<?x1xf32, #nn.shape<M, 1>>
}

// Attention reads masks from memory, constants of one value, too.
// CHECK-LABEL: func.func @attention
// CHECK-NEXT:    %[[M:.*]] = nn.constant dense<0.5>
// CHECK-NEXT:    %[[R:.*]] = nn.dispatch(%q, %k, %[[M]])
// CHECK-NEXT:    ^bb0(%[[Q:.*]]: {{.*}}, %[[K:.*]]: {{.*}}, %[[C:.*]]: tensor<f32>):
// CHECK:           nn.attention
// CHECK-NEXT:      nn.yield
// CHECK:         nn.dispatch(%[[R]])
// CHECK:           nn.relu
func.func @attention(%q: tensor<2x3x4xf32>, %k: tensor<2x5x4xf32>) -> tensor<2x3x4xf32> {
  %c = nn.constant dense<0.5> : tensor<f32>
  %m = nn.broadcast %c : (tensor<f32>) -> tensor<3x5xf32>
  %0 = nn.attention %q, %k, %k, %m {scale = 1.0 : f64} : (tensor<2x3x4xf32>, tensor<2x5x4xf32>, tensor<2x5x4xf32>, tensor<3x5xf32>) -> tensor<2x3x4xf32>
  %1 = nn.relu %0 : (tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  func.return %1 : tensor<2x3x4xf32>
}

// -----

// What is selected has a dispatch of its own; all of its results leave it.
// CHECK-LABEL: func.func @main
// CHECK: %{{.*}}, %[[I:.*]] = nn.dispatch(%{{.*}}) : (tensor<2x9xf32>) -> (tensor<2x3xf32>, tensor<2x3xi64>) {
// CHECK-NEXT: ^bb0(%[[A:.*]]: tensor<2x9xf32>):
// CHECK-NEXT: %[[V:.*]], %[[J:.*]] = nn.top_k %[[A]]
// CHECK-NEXT: nn.yield %[[V]], %[[J]]
// CHECK: nn.dispatch(%[[I]])
func.func @main(%x: tensor<2x9xf32>) -> tensor<2x3xf32> {
  %0 = nn.exp %x : (tensor<2x9xf32>) -> tensor<2x9xf32>
  %1, %2 = nn.top_k %0 {count = #nn.shape<3>, largest = true} : (tensor<2x9xf32>) -> (tensor<2x3xf32>, tensor<2x3xi64>)
  %3 = nn.cast %2 : (tensor<2x3xi64>) -> tensor<2x3xf32>
  func.return %3 : tensor<2x3xf32>
}

// -----

// CHECK-LABEL: func.func @tiles_of_a_large_image_are_made_where_they_are_used
// CHECK-NEXT:    nn.dispatch
// CHECK-NEXT:    ^{{.*}}(
// CHECK-NEXT:      %[[T:.*]] = nn.winograd_input
// CHECK-NEXT:      %[[P:.*]] = nn.winograd_product %[[T]]
// CHECK-NEXT:      %[[R:.*]] = nn.relu %[[P]]
// CHECK-NEXT:      nn.yield %[[R]]
// CHECK-NOT:     nn.dispatch
func.func @tiles_of_a_large_image_are_made_where_they_are_used(%x: tensor<1x56x56x64xf32>, %u: tensor<36x64x64xf32>) -> tensor<1x56x56x64xf32> {
  %t = nn.winograd_input %x {tile = 4 : i64, group = 7 : i64, padding = #nn.shape<1, 1, 1, 1>} : (tensor<1x56x56x64xf32>) -> tensor<28x36x7x64xf32>
  %0 = nn.winograd_product %t, %u {tile = 4 : i64, image = #nn.shape<1, 56, 56>} : (tensor<28x36x7x64xf32>, tensor<36x64x64xf32>) -> tensor<1x56x56x64xf32>
  %1 = nn.relu %0 : (tensor<1x56x56x64xf32>) -> tensor<1x56x56x64xf32>
  func.return %1 : tensor<1x56x56x64xf32>
}

// CHECK-LABEL: func.func @few_tiles_have_a_dispatch_of_their_own
// CHECK-NEXT:    nn.dispatch(%x)
// CHECK:           nn.winograd_input
// CHECK-NEXT:      nn.yield
// CHECK:         nn.dispatch
// CHECK:           nn.winograd_product
func.func @few_tiles_have_a_dispatch_of_their_own(%x: tensor<1x14x14x64xf32>, %u: tensor<36x64x64xf32>) -> tensor<1x14x14x64xf32> {
  %t = nn.winograd_input %x {tile = 4 : i64, group = 8 : i64, padding = #nn.shape<1, 1, 1, 1>} : (tensor<1x14x14x64xf32>) -> tensor<2x36x8x64xf32>
  %0 = nn.winograd_product %t, %u {tile = 4 : i64, image = #nn.shape<1, 14, 14>} : (tensor<2x36x8x64xf32>, tensor<36x64x64xf32>) -> tensor<1x14x14x64xf32>
  func.return %0 : tensor<1x14x14x64xf32>
}

// CHECK-LABEL: func.func @tiles_with_two_users_have_a_dispatch_of_their_own
// CHECK-NEXT:    nn.dispatch(%x)
// CHECK:           nn.winograd_input
// CHECK-NEXT:      nn.yield
// CHECK-COUNT-2: nn.winograd_product
func.func @tiles_with_two_users_have_a_dispatch_of_their_own(%x: tensor<1x56x56x64xf32>, %u: tensor<36x64x64xf32>, %v: tensor<36x64x64xf32>) -> (tensor<1x56x56x64xf32>, tensor<1x56x56x64xf32>) {
  %t = nn.winograd_input %x {tile = 4 : i64, group = 7 : i64, padding = #nn.shape<1, 1, 1, 1>} : (tensor<1x56x56x64xf32>) -> tensor<28x36x7x64xf32>
  %0 = nn.winograd_product %t, %u {tile = 4 : i64, image = #nn.shape<1, 56, 56>} : (tensor<28x36x7x64xf32>, tensor<36x64x64xf32>) -> tensor<1x56x56x64xf32>
  %1 = nn.winograd_product %t, %v {tile = 4 : i64, image = #nn.shape<1, 56, 56>} : (tensor<28x36x7x64xf32>, tensor<36x64x64xf32>) -> tensor<1x56x56x64xf32>
  func.return %0, %1 : tensor<1x56x56x64xf32>, tensor<1x56x56x64xf32>
}
