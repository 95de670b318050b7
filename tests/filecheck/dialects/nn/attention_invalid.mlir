// RUN: nnc-opt %s --split-input-file --verify-diagnostics | filecheck %s

func.func @rank(%q: tensor<7x64xf32>) {
  // CHECK: nn.attention: operands need rank 3 or more
  %0 = nn.attention %q, %q, %q {scale = 1.0 : f64} : (tensor<7x64xf32>, tensor<7x64xf32>, tensor<7x64xf32>) -> tensor<7x64xf32>
  func.return
}

// -----

func.func @integers(%q: tensor<2x7x64xi32>) {
  // CHECK: nn.attention: the operand must hold floats, got tensor<2x7x64xi32>
  %0 = nn.attention %q, %q, %q {scale = 1.0 : f64} : (tensor<2x7x64xi32>, tensor<2x7x64xi32>, tensor<2x7x64xi32>) -> tensor<2x7x64xi32>
  func.return
}

// -----

func.func @inner(%q: tensor<2x7x64xf32>, %k: tensor<2x7x32xf32>) {
  // CHECK: nn.attention: query [2, 7, 64], key [2, 7, 32] and value [2, 7, 32] do not fit each other
  %0 = nn.attention %q, %k, %k {scale = 1.0 : f64} : (tensor<2x7x64xf32>, tensor<2x7x32xf32>, tensor<2x7x32xf32>) -> tensor<2x7x32xf32>
  func.return
}

// -----

func.func @groups(%q: tensor<8x7x64xf32>, %k: tensor<3x7x64xf32>) {
  // CHECK: nn.attention: 3 heads of the key do not divide 8
  %0 = nn.attention %q, %k, %k {scale = 1.0 : f64} : (tensor<8x7x64xf32>, tensor<3x7x64xf32>, tensor<3x7x64xf32>) -> tensor<8x7x64xf32>
  func.return
}

// -----

func.func @batch(%q: tensor<2x8x7x64xf32>, %k: tensor<3x8x7x64xf32>) {
  // CHECK: nn.attention: the batch axes do not broadcast
  %0 = nn.attention %q, %k, %k {scale = 1.0 : f64} : (tensor<2x8x7x64xf32>, tensor<3x8x7x64xf32>, tensor<3x8x7x64xf32>) -> tensor<2x8x7x64xf32>
  func.return
}

// -----

func.func @mask(%q: tensor<2x7x64xf32>, %m: tensor<7x8xf32>) {
  // CHECK: nn.attention: a mask of shape [7, 8] does not broadcast to the scores, [2, 7, 7]
  %0 = nn.attention %q, %q, %q, %m {scale = 1.0 : f64} : (tensor<2x7x64xf32>, tensor<2x7x64xf32>, tensor<2x7x64xf32>, tensor<7x8xf32>) -> tensor<2x7x64xf32>
  func.return
}

// -----

func.func @causal(%q: tensor<2x7x64xf32>) {
  // CHECK: nn.attention: causal must be one offset
  %0 = nn.attention %q, %q, %q {scale = 1.0 : f64, causal = #nn.shape<1, 2>} : (tensor<2x7x64xf32>, tensor<2x7x64xf32>, tensor<2x7x64xf32>) -> tensor<2x7x64xf32>
  func.return
}

// -----

func.func @result(%q: tensor<2x7x64xf32>) {
  // CHECK: nn.attention: result type tensor<2x7x1xf32> should be tensor<2x7x64xf32>
  %0 = nn.attention %q, %q, %q {scale = 1.0 : f64} : (tensor<2x7x64xf32>, tensor<2x7x64xf32>, tensor<2x7x64xf32>) -> tensor<2x7x1xf32>
  func.return
}
