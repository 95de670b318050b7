// RUN: nnc-opt %s --split-input-file --verify-diagnostics | filecheck %s

func.func @unknown_tile(%w: tensor<3x3x8x16xf32>) {
  // CHECK: nn.winograd_filter: tile 3 is none of (2, 4)
  %u = nn.winograd_filter %w {tile = 3 : i64} : (tensor<3x3x8x16xf32>) -> tensor<25x8x16xf32>
  func.return
}

// -----

func.func @other_filter(%w: tensor<5x5x8x16xf32>) {
  // CHECK: nn.winograd_filter: the filter must be [3, 3, C, O], got tensor<5x5x8x16xf32>
  %u = nn.winograd_filter %w {tile = 2 : i64} : (tensor<5x5x8x16xf32>) -> tensor<16x8x16xf32>
  func.return
}

// -----

func.func @integers(%w: tensor<3x3x8x16xi32>) {
  // CHECK: nn.winograd_filter: {{.*}} floats
  %u = nn.winograd_filter %w {tile = 2 : i64} : (tensor<3x3x8x16xi32>) -> tensor<16x8x16xi32>
  func.return
}

// -----

func.func @padding_count(%x: tensor<1x8x8x8xf32>) {
  // CHECK: nn.winograd_input: the image must be [N, H, W, C] with 4 padding amounts, got tensor<1x8x8x8xf32> with 2
  %t = nn.winograd_input %x {tile = 4 : i64, group = 4 : i64, padding = #nn.shape<1, 1>} : (tensor<1x8x8x8xf32>) -> tensor<1x36x4x8xf32>
  func.return
}

// -----

func.func @empty_groups(%x: tensor<1x8x8x8xf32>) {
  // CHECK: nn.winograd_input: groups of 0 tiles
  %t = nn.winograd_input %x {tile = 4 : i64, group = 0 : i64, padding = #nn.shape<1, 1, 1, 1>} : (tensor<1x8x8x8xf32>) -> tensor<1x36x4x8xf32>
  func.return
}

// -----

func.func @operand_ranks(%t: tensor<36x4x8xf32>, %u: tensor<36x8x16xf32>) {
  // CHECK: nn.winograd_product: operands need 4 and 3 dims and the image 3, got
  %y = nn.winograd_product %t, %u {tile = 4 : i64, image = #nn.shape<1, 8, 8>} : (tensor<36x4x8xf32>, tensor<36x8x16xf32>) -> tensor<1x8x8x16xf32>
  func.return
}

// -----

func.func @too_few_tiles(%t: tensor<1x36x3x8xf32>, %u: tensor<36x8x16xf32>) {
  // CHECK: do not make an image #nn.shape<1, 8, 8> by tiles of 4
  %y = nn.winograd_product %t, %u {tile = 4 : i64, image = #nn.shape<1, 8, 8>} : (tensor<1x36x3x8xf32>, tensor<36x8x16xf32>) -> tensor<1x8x8x16xf32>
  func.return
}

// -----

func.func @other_channels(%t: tensor<1x36x4x8xf32>, %u: tensor<36x9x16xf32>) {
  // CHECK: do not make an image #nn.shape<1, 8, 8> by tiles of 4
  %y = nn.winograd_product %t, %u {tile = 4 : i64, image = #nn.shape<1, 8, 8>} : (tensor<1x36x4x8xf32>, tensor<36x9x16xf32>) -> tensor<1x8x8x16xf32>
  func.return
}
