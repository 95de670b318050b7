// RUN: nnc-opt %s --split-input-file --verify-diagnostics | filecheck %s

func.func @arithmetic_of_small_floats(%x: tensor<3xf8E4M3FN>) {
  // CHECK: nn.add: the operand must hold integers or floats, got tensor<3xf8E4M3FN>
  %0 = nn.add %x, %x : (tensor<3xf8E4M3FN>, tensor<3xf8E4M3FN>) -> tensor<3xf8E4M3FN>
  func.return
}

// -----

func.func @arithmetic_of_small_integers(%x: tensor<3xi4>) {
  // CHECK: nn.and: the operand must hold booleans or integers, got tensor<3xi4>
  %0 = nn.and %x, %x : (tensor<3xi4>, tensor<3xi4>) -> tensor<3xi4>
  func.return
}

// -----

func.func @functions_of_small_floats(%x: tensor<3xf4E2M1FN>) {
  // CHECK: nn.exp: the operand must hold floats, got tensor<3xf4E2M1FN>
  %0 = nn.exp %x : (tensor<3xf4E2M1FN>) -> tensor<3xf4E2M1FN>
  func.return
}

// -----

func.func @comparison(%x: tensor<3xcomplex<f32>>) {
  // CHECK: nn.compare: the operand must hold booleans, integers or floats, got tensor<3xcomplex<f32>>
  %0 = nn.compare %x, %x {predicate = "eq"} : (tensor<3xcomplex<f32>>, tensor<3xcomplex<f32>>) -> tensor<3xi1>
  func.return
}

// -----

func.func @cast_of_complex(%x: tensor<3xcomplex<f32>>) {
  // CHECK: nn.cast: complex<f32> cannot be cast to f32
  %0 = nn.cast %x : (tensor<3xcomplex<f32>>) -> tensor<3xf32>
  func.return
}

// -----

func.func @saturate_without_range(%x: tensor<3xf32>) {
  // CHECK: nn.cast: 'saturate' means nothing to i8
  %0 = nn.cast %x {saturate = false} : (tensor<3xf32>) -> tensor<3xi8>
  func.return
}

// -----

func.func @round_mode_without_choice(%x: tensor<3xf32>) {
  // CHECK: nn.cast: 'round_mode' means nothing to f8E5M2
  %0 = nn.cast %x {round_mode = "down"} : (tensor<3xf32>) -> tensor<3xf8E5M2>
  func.return
}

// -----

func.func @round_mode(%x: tensor<3xf32>) {
  // CHECK: nn.cast: round_mode 'even' is none of up, down, nearest
  %0 = nn.cast %x {round_mode = "even"} : (tensor<3xf32>) -> tensor<3xf8E8M0FNU>
  func.return
}

// -----

func.func @unknown_type(%x: tensor<3xf32>) {
  // CHECK: f8E3M4 is no element type of nn tensors
  %0 = nn.constant dense<1.0> : tensor<3xf8E3M4>
  func.return
}
