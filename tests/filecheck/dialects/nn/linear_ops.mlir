// RUN: NNC_ROUNDTRIP
// RUN: NNC_GENERIC_ROUNDTRIP

// CHECK-LABEL: func.func @matmul
func.func @matmul(%a: tensor<?x1x4x8xf32, #nn.shape<N, 1, 4, 8>>, %b: tensor<3x8x5xf32>) {
  // CHECK-NEXT: %{{.*}} = nn.matmul %a, %b : (tensor<?x1x4x8xf32, #nn.shape<N, 1, 4, 8>>, tensor<3x8x5xf32>) -> tensor<?x3x4x5xf32, #nn.shape<N, 3, 4, 5>>
  %0 = nn.matmul %a, %b : (tensor<?x1x4x8xf32, #nn.shape<N, 1, 4, 8>>, tensor<3x8x5xf32>) -> tensor<?x3x4x5xf32, #nn.shape<N, 3, 4, 5>>
  func.return
}

// CHECK-LABEL: func.func @pack
func.func @pack(%w: tensor<3x3x8x20xf32>, %p: tensor<2x2x72x8xf32>) {
  // CHECK-NEXT: %{{.*}} = nn.pack %w {panel = 8 : i64, groups = 2 : i64} : (tensor<3x3x8x20xf32>) -> tensor<2x2x72x8xf32>
  %0 = nn.pack %w {panel = 8 : i64, groups = 2 : i64} : (tensor<3x3x8x20xf32>) -> tensor<2x2x72x8xf32>
  // CHECK-NEXT: %{{.*}} = nn.unpack %p {panel = 8 : i64, groups = 2 : i64} : (tensor<2x2x72x8xf32>) -> tensor<3x3x8x20xf32>
  %1 = nn.unpack %p {panel = 8 : i64, groups = 2 : i64} : (tensor<2x2x72x8xf32>) -> tensor<3x3x8x20xf32>
  func.return
}

// CHECK-LABEL: func.func @lu
func.func @lu(%x: tensor<2x3x3xf32>) {
  // CHECK-NEXT: %{{.*}}, %{{.*}} = nn.lu %x : (tensor<2x3x3xf32>) -> (tensor<2x3x3xf32>, tensor<2xf32>)
  %0, %1 = nn.lu %x : (tensor<2x3x3xf32>) -> (tensor<2x3x3xf32>, tensor<2xf32>)
  func.return
}
