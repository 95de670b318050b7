// RUN: nnc-opt %s --split-input-file --verify-diagnostics | filecheck %s

func.func @matmul_rank(%a: tensor<4xf32>, %b: tensor<4x5xf32>) {
  // CHECK: nn.matmul: operands need rank 2 or more
  %0 = nn.matmul %a, %b : (tensor<4xf32>, tensor<4x5xf32>) -> tensor<5xf32>
  func.return
}

// -----

func.func @matmul_inner(%a: tensor<3x4xf32>, %b: tensor<3x5xf32>) {
  // CHECK: nn.matmul: tensor<3x4xf32> does not multiply tensor<3x5xf32>
  %0 = nn.matmul %a, %b : (tensor<3x4xf32>, tensor<3x5xf32>) -> tensor<3x5xf32>
  func.return
}

// -----

func.func @matmul_batch(%a: tensor<2x3x4xf32>, %b: tensor<3x4x5xf32>) {
  // CHECK: nn.matmul: tensor<2x3x4xf32> does not multiply tensor<3x4x5xf32>
  %0 = nn.matmul %a, %b : (tensor<2x3x4xf32>, tensor<3x4x5xf32>) -> tensor<2x3x5xf32>
  func.return
}

// -----

func.func @pack_groups(%a: tensor<3x5xf32>) {
  // CHECK: nn.pack: 5 columns in 2 groups
  %0 = nn.pack %a {panel = 4 : i64, groups = 2 : i64} : (tensor<3x5xf32>) -> tensor<2x1x3x4xf32>
  func.return
}

// -----

func.func @pack_panel(%a: tensor<3x5xf32>) {
  // CHECK: nn.pack: cannot pack tensor<3x5xf32>
  %0 = nn.pack %a {panel = 0 : i64, groups = 1 : i64} : (tensor<3x5xf32>) -> tensor<1x1x3x4xf32>
  func.return
}

// -----

func.func @unpack_shape(%a: tensor<1x2x3x4xf32>) {
  // CHECK: nn.unpack: tensor<1x2x3x4xf32> is not the packed form of tensor<3x4xf32>
  %0 = nn.unpack %a {panel = 4 : i64, groups = 1 : i64} : (tensor<1x2x3x4xf32>) -> tensor<3x4xf32>
  func.return
}

// -----

func.func @lu_square(%x: tensor<2x3x4xf32>) {
  // CHECK: nn.lu: a batch of square matrices, got tensor<2x3x4xf32>
  %0, %1 = nn.lu %x : (tensor<2x3x4xf32>) -> (tensor<2x3x4xf32>, tensor<2xf32>)
  func.return
}
