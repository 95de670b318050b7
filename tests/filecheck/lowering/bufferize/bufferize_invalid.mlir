// RUN: nnc-opt %s -p bufferize --split-input-file --verify-diagnostics | filecheck %s

// CHECK: bufferize: nn.abs is not in a dispatch; run form-dispatches
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = nn.abs %x : (tensor<4xf32>) -> tensor<4xf32>
  func.return %0 : tensor<4xf32>
}

// -----

// CHECK: bufferize: nn.pad of mode 'edge' is not in a dispatch
func.func @main(%x: tensor<4xf32>) -> tensor<6xf32> {
  %0 = nn.pad %x {low = #nn.shape<1>, high = #nn.shape<1>, mode = "edge"} : (tensor<4xf32>) -> tensor<6xf32>
  func.return %0 : tensor<6xf32>
}
