// RUN: nnc-opt %s --split-input-file --verify-diagnostics | filecheck %s

func.func @constant_of_no_tensor() {
  // CHECK: vector<2xf32> should be of base attribute tensor
  %0 = nn.constant dense<1.0> : vector<2xf32>
  func.return
}

// -----

func.func @constant_element_type() {
  // CHECK: i7 is no element type of nn tensors
  %0 = nn.constant dense<1> : tensor<2xi7>
  func.return
}

// -----

func.func @weight_shape() {
  // CHECK: nn.weight: weights have static shapes, got tensor<?xf32, #nn.shape<N>>
  %0 = nn.weight "w" : tensor<?xf32, #nn.shape<N>>
  func.return
}

// -----

func.func @dims_type() {
  // CHECK: nn.dims: result type tensor<3xi64> should be tensor<2xi64>
  %0 = nn.dims <N, 2> : tensor<3xi64>
  func.return
}

// -----

func.func @dispatch_arguments(%x: tensor<2x3xf32>) {
  // CHECK: nn.dispatch: block arguments must have the types of the operands
  %0 = nn.dispatch(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32> {
  ^bb0(%a: tensor<3x2xf32>):
    nn.yield %a : tensor<3x2xf32>
  }
  func.return
}

// -----

func.func @dispatch_results(%x: tensor<2x3xf32>) {
  // CHECK: nn.dispatch: nn.yield must give the types of the results
  %0 = nn.dispatch(%x) : (tensor<2x3xf32>) -> tensor<3x2xf32> {
  ^bb0(%a: tensor<2x3xf32>):
    nn.yield %a : tensor<2x3xf32>
  }
  func.return
}

// -----

func.func @dispatch_body(%x: tensor<2x3xf32>) {
  // CHECK: nn.dispatch: the body holds single nn ops, not arith.constant
  %0 = nn.dispatch(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32> {
  ^bb0(%a: tensor<2x3xf32>):
    %c = arith.constant 1 : i32
    nn.yield %a : tensor<2x3xf32>
  }
  func.return
}

// -----

func.func @yield_outside(%x: tensor<2x3xf32>) {
  // CHECK: nn.yield: only dispatches, branches and loops end in it
  nn.yield %x : tensor<2x3xf32>
}
