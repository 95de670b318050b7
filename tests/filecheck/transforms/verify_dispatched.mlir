// RUN: nnc-opt %s -p verify-dispatched --split-input-file --verify-diagnostics | filecheck %s

// CHECK: the module is not ready for lowering:
// CHECK: - nn.exp of 'node_a' is not in a dispatch
// CHECK: - nn.pad of 'node_b' is not in a dispatch
func.func @ops_outside_of_dispatches(%x: tensor<4xf32>) -> tensor<8xf32> {
  %0 = nn.exp %x {loc_name = "node_a"} : (tensor<4xf32>) -> tensor<4xf32>
  %1 = nn.pad %0 {loc_name = "node_b", low = #nn.shape<2>, high = #nn.shape<2>, mode = "edge"} : (tensor<4xf32>) -> tensor<8xf32>
  func.return %1 : tensor<8xf32>
}

// -----

// CHECK: nn.dispatch of 'm': a dispatch has one anchor, not nn.matmul and nn.matmul
func.func @two_anchors(%x: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %0 = nn.dispatch(%x) {loc_name = "m"} : (tensor<4x4xf32>) -> tensor<4x4xf32> {
  ^bb0(%a: tensor<4x4xf32>):
    %1 = nn.matmul %a, %a : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
    %2 = nn.matmul %1, %a : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
    nn.yield %2 : tensor<4x4xf32>
  }
  func.return %0 : tensor<4x4xf32>
}

// -----

// CHECK: nn.dispatch of 'r': all nn.reduce ops of a dispatch must reduce the same axes of one shape
func.func @two_reductions(%x: tensor<4x4xf32>) -> tensor<1x4xf32> {
  %0 = nn.dispatch(%x) {loc_name = "r"} : (tensor<4x4xf32>) -> tensor<1x4xf32> {
  ^bb0(%a: tensor<4x4xf32>):
    %1 = nn.reduce %a {kind = "max", axes = array<i64: 1>, keep_dims = true} : (tensor<4x4xf32>) -> tensor<4x1xf32>
    %2 = nn.broadcast %1 : (tensor<4x1xf32>) -> tensor<4x4xf32>
    %3 = nn.sub %a, %2 : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
    %4 = nn.reduce %3 {kind = "max", axes = array<i64: 0>, keep_dims = true} : (tensor<4x4xf32>) -> tensor<1x4xf32>
    nn.yield %4 : tensor<1x4xf32>
  }
  func.return %0 : tensor<1x4xf32>
}

// -----

// CHECK: nn.dispatch of 'c': nn.conv in a contraction dispatch must not pad
func.func @padded_contraction(%x: tensor<1x5x4xf32>, %w: tensor<3x4x4xf32>) -> tensor<1x5x4xf32> {
  %0 = nn.dispatch(%x, %w) {loc_name = "c"} : (tensor<1x5x4xf32>, tensor<3x4x4xf32>) -> tensor<1x5x4xf32> {
  ^bb0(%a: tensor<1x5x4xf32>, %b: tensor<3x4x4xf32>):
    %1 = nn.conv %a, %b {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<1, 1>, layout = "channels_last", groups = 1 : i64} : (tensor<1x5x4xf32>, tensor<3x4x4xf32>) -> tensor<1x5x4xf32>
    nn.yield %1 : tensor<1x5x4xf32>
  }
  func.return %0 : tensor<1x5x4xf32>
}

// -----

// CHECK-LABEL: func.func @ready
// CHECK:         nn.dispatch
func.func @ready(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = nn.dispatch(%x) : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<4xf32>):
    %1 = nn.exp %a : (tensor<4xf32>) -> tensor<4xf32>
    nn.yield %1 : tensor<4xf32>
  }
  func.return %0 : tensor<4xf32>
}
