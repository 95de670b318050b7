// RUN: nnc-opt %s --split-input-file --verify-diagnostics --parsing-diagnostics | filecheck %s

func.func @dimension_text() {
  // CHECK: 'N +' is not a dimension expression
  %0 = nn.dims <N +> : tensor<1xi64>
  func.return
}

// -----

func.func @division_by_zero() {
  // CHECK: dimension N divided by zero
  %0 = nn.dims <N floordiv 0> : tensor<1xi64>
  func.return
}

// -----

func.func @missing_comma() {
  // CHECK: 'N M' is not a dimension expression
  %0 = nn.dims <N M> : tensor<1xi64>
  func.return
}

// -----

func.func @constant_without_value() {
  // CHECK: expected dense<…> with a tensor type
  %0 = nn.constant 1.0 : f32
  func.return
}

// -----

func.func @dim_without_expression(%x: tensor<?xf32>) {
  // CHECK: tensor<?xf32> has a dynamic dim without #nn.shape
  %0 = nn.neg %x : (tensor<?xf32>) -> tensor<?xf32>
  func.return
}

// -----

func.func @shape_of_another_rank(%x: tensor<?x3xf32, #nn.shape<N>>) {
  // CHECK: nn.neg: result type tensor<?x3xf32, #nn.shape<N>> should be tensor<?xf32, #nn.shape<N>>
  %0 = nn.neg %x : (tensor<?x3xf32, #nn.shape<N>>) -> tensor<?x3xf32, #nn.shape<N>>
  func.return
}

// -----

func.func @needless_shape(%x: tensor<2x3xf32, #nn.shape<2, 3>>) {
  // CHECK: nn.neg: result type tensor<2x3xf32, #nn.shape<2, 3>> should be tensor<2x3xf32>
  %0 = nn.neg %x : (tensor<2x3xf32, #nn.shape<2, 3>>) -> tensor<2x3xf32, #nn.shape<2, 3>>
  func.return
}
