// RUN: nnc-opt %s --split-input-file --verify-diagnostics | filecheck %s

func.func @scatter_updates(%x: tensor<10x4xf32>, %i: tensor<3xi64>, %u: tensor<2x4xf32>) {
  // CHECK: nn.scatter: updates should be tensor<3x4xf32>, not tensor<2x4xf32>
  %0 = nn.scatter %x, %i, %u {combination = "add"} : (tensor<10x4xf32>, tensor<3xi64>, tensor<2x4xf32>) -> tensor<10x4xf32>
  func.return
}

// -----

func.func @scatter_combination(%x: tensor<10x4xf32>, %i: tensor<3xi64>, %u: tensor<3x4xf32>) {
  // CHECK: nn.scatter: unknown combination 'xor'
  %0 = nn.scatter %x, %i, %u {combination = "xor"} : (tensor<10x4xf32>, tensor<3xi64>, tensor<3x4xf32>) -> tensor<10x4xf32>
  func.return
}

// -----

func.func @top_k_count(%x: tensor<2x4xf32>) {
  // CHECK: nn.top_k: rows of 4 have no 5 elements
  %0, %1 = nn.top_k %x {count = #nn.shape<5>, largest = true} : (tensor<2x4xf32>) -> (tensor<2x5xf32>, tensor<2x5xi64>)
  func.return
}

// -----

func.func @compact_numbers(%x: tensor<4xf32>) {
  // CHECK: nn.compact: the operand must hold booleans, got tensor<4xf32>
  %0, %1 = nn.compact %x : (tensor<4xf32>) -> (tensor<4xi64>, tensor<1xi64>)
  func.return
}

// -----

func.func @compact_matrix(%x: tensor<2x2xi1>) {
  // CHECK: nn.compact: a vector, got tensor<2x2xi1>
  %0, %1 = nn.compact %x : (tensor<2x2xi1>) -> (tensor<4xi64>, tensor<1xi64>)
  func.return
}
