// RUN: nnc-opt %s --split-input-file --verify-diagnostics | filecheck %s

func.func @reduce_kind(%x: tensor<2x3xf32>) {
  // CHECK: nn.reduce: unknown kind 'l1'
  %0 = nn.reduce %x {kind = "l1", axes = array<i64: 0>, keep_dims = false} : (tensor<2x3xf32>) -> tensor<3xf32>
  func.return
}

// -----

func.func @reduce_axes(%x: tensor<2x3xf32>) {
  // CHECK: nn.reduce: an axis is named twice in (1, 1)
  %0 = nn.reduce %x {kind = "sum", axes = array<i64: 1, -1>, keep_dims = false} : (tensor<2x3xf32>) -> tensor<2xf32>
  func.return
}

// -----

func.func @reduce_axis(%x: tensor<2x3xf32>) {
  // CHECK: nn.reduce: axis 2 is outside of rank 2
  %0 = nn.reduce %x {kind = "sum", axes = array<i64: 2>, keep_dims = false} : (tensor<2x3xf32>) -> tensor<2xf32>
  func.return
}

// -----

func.func @reduce_logical(%x: tensor<2x3xf32>) {
  // CHECK: nn.reduce: the operand must hold booleans, got tensor<2x3xf32>
  %0 = nn.reduce %x {kind = "and", axes = array<i64: 0>, keep_dims = false} : (tensor<2x3xf32>) -> tensor<3xf32>
  func.return
}

// -----

func.func @reduce_number(%x: tensor<2xi1>) {
  // CHECK: nn.reduce: the operand must hold integers or floats, got tensor<2xi1>
  %0 = nn.reduce %x {kind = "sum", axes = array<i64: 0>, keep_dims = false} : (tensor<2xi1>) -> tensor<i1>
  func.return
}

// -----

func.func @arg_reduce_kind(%x: tensor<2x3xf32>) {
  // CHECK: nn.arg_reduce: unknown kind 'sum'
  %0 = nn.arg_reduce %x {kind = "sum", axis = 0 : i64, keep_dims = false, select_last = false} : (tensor<2x3xf32>) -> tensor<3xi64>
  func.return
}

// -----

func.func @softmax_axis(%x: tensor<2x3xf32>) {
  // CHECK: nn.softmax: axis -3 is outside of rank 2
  %0 = nn.softmax %x {axis = -3 : i64} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  func.return
}

// -----

func.func @layer_norm_scale(%x: tensor<2x3xf32>, %s: tensor<2xf32>) {
  // CHECK: nn.layer_norm: scale and bias must have the dims from axis 1 of tensor<2x3xf32>, got tensor<2xf32>
  %0 = nn.layer_norm %x, %s {axis = 1 : i64, epsilon = 1.0e-05 : f64} : (tensor<2x3xf32>, tensor<2xf32>) -> tensor<2x3xf32>
  func.return
}

// -----

func.func @batch_norm_parameter(%x: tensor<2x3xf32>, %s: tensor<2xf32>) {
  // CHECK: nn.batch_norm: parameters must have 3 elements, got tensor<2xf32>
  %0 = nn.batch_norm %x, %s, %s, %s, %s {axis = 1 : i64, epsilon = 1.0e-05 : f64} : (tensor<2x3xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>, tensor<2xf32>) -> tensor<2x3xf32>
  func.return
}

// -----

func.func @cumulative_kind(%x: tensor<2x3xf32>) {
  // CHECK: nn.cumulative: unknown kind 'max'
  %0 = nn.cumulative %x {kind = "max", axis = 0 : i64, exclusive = false, reverse = false} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  func.return
}
