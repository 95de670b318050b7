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

func.func @arg_sort_rank(%x: tensor<5xf32>) {
  // CHECK: nn.arg_sort: rows of a matrix, got tensor<5xf32>
  %0 = nn.arg_sort %x : (tensor<5xf32>) -> tensor<5xi64>
  func.return
}

// -----

func.func @compact_numbers(%x: tensor<4xf32>) {
  // CHECK: nn.compact: the operand must hold booleans, got tensor<4xf32>
  %0, %1 = nn.compact %x : (tensor<4xf32>) -> (tensor<4xi64>, tensor<1xi64>)
  func.return
}

// -----

func.func @suppression_boxes(%b: tensor<2x7x5xf32>, %s: tensor<2x5x7xf32>, %t: tensor<f32>, %l: tensor<i64>) {
  // CHECK: nn.non_max_suppression: boxes of 4 corners and their scores, got tensor<2x7x5xf32> and tensor<2x5x7xf32>
  %0, %1, %2, %3 = nn.non_max_suppression %b, %s, %t, %t, %l {room = #nn.shape<3>} : (tensor<2x7x5xf32>, tensor<2x5x7xf32>, tensor<f32>, tensor<f32>, tensor<i64>) -> (tensor<2x5x3xi64>, tensor<2x5xi64>, tensor<2x5x4x16xf32>, tensor<2x5x7xi64>)
  func.return
}

// -----

func.func @suppression_scores(%b: tensor<2x7x4xf32>, %s: tensor<2x5x8xf32>, %t: tensor<f32>, %l: tensor<i64>) {
  // CHECK: nn.non_max_suppression: scores should be tensor<2x5x7xf32>, not tensor<2x5x8xf32>
  %0, %1, %2, %3 = nn.non_max_suppression %b, %s, %t, %t, %l {room = #nn.shape<3>} : (tensor<2x7x4xf32>, tensor<2x5x8xf32>, tensor<f32>, tensor<f32>, tensor<i64>) -> (tensor<2x5x3xi64>, tensor<2x5xi64>, tensor<2x5x4x16xf32>, tensor<2x5x8xi64>)
  func.return
}

// -----

func.func @roi_align_kind(%x: tensor<2x7x9x3xf32>, %b: tensor<5x4xf32>, %i: tensor<5xi64>) {
  // CHECK: nn.roi_align: unknown kind 'sum'
  %0 = nn.roi_align %x, %b, %i {kind = "sum", bins = #nn.shape<2, 3>} : (tensor<2x7x9x3xf32>, tensor<5x4xf32>, tensor<5xi64>) -> tensor<5x2x3x3xf32>
  func.return
}

// -----

func.func @roi_max_pool_images(%x: tensor<2x7x9x3xf32>, %h: tensor<5x2x2xi64>, %w: tensor<5x4x2xi64>, %i: tensor<4xi64>) {
  // CHECK: nn.roi_max_pool: images should be tensor<5xi64>, not tensor<4xi64>
  %0 = nn.roi_max_pool %x, %h, %w, %i : (tensor<2x7x9x3xf32>, tensor<5x2x2xi64>, tensor<5x4x2xi64>, tensor<4xi64>) -> tensor<5x2x4x3xf32>
  func.return
}

// -----

func.func @compact_matrix(%x: tensor<2x2xi1>) {
  // CHECK: nn.compact: a vector, got tensor<2x2xi1>
  %0, %1 = nn.compact %x : (tensor<2x2xi1>) -> (tensor<4xi64>, tensor<1xi64>)
  func.return
}
