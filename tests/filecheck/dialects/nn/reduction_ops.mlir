// RUN: NNC_ROUNDTRIP
// RUN: NNC_GENERIC_ROUNDTRIP

// CHECK-LABEL: func.func @reductions
func.func @reductions(%x: tensor<?x3x8xf32, #nn.shape<N, 3, 8>>, %b: tensor<4xi1>) {
  // CHECK-NEXT: %{{.*}} = nn.reduce %x {kind = "mean", axes = array<i64: 1, -1>, keep_dims = true} : (tensor<?x3x8xf32, #nn.shape<N, 3, 8>>) -> tensor<?x1x1xf32, #nn.shape<N, 1, 1>>
  %0 = nn.reduce %x {kind = "mean", axes = array<i64: 1, -1>, keep_dims = true} : (tensor<?x3x8xf32, #nn.shape<N, 3, 8>>) -> tensor<?x1x1xf32, #nn.shape<N, 1, 1>>
  // CHECK-NEXT: %{{.*}} = nn.reduce %x {kind = "max", axes = array<i64: 0, 2>, keep_dims = false} : (tensor<?x3x8xf32, #nn.shape<N, 3, 8>>) -> tensor<3xf32>
  %1 = nn.reduce %x {kind = "max", axes = array<i64: 0, 2>, keep_dims = false} : (tensor<?x3x8xf32, #nn.shape<N, 3, 8>>) -> tensor<3xf32>
  // CHECK-NEXT: %{{.*}} = nn.reduce %b {kind = "and", axes = array<i64: 0>, keep_dims = false} : (tensor<4xi1>) -> tensor<i1>
  %2 = nn.reduce %b {kind = "and", axes = array<i64: 0>, keep_dims = false} : (tensor<4xi1>) -> tensor<i1>
  // CHECK-NEXT: %{{.*}} = nn.arg_reduce %x {kind = "max", axis = 1 : i64, keep_dims = true, select_last = false} : (tensor<?x3x8xf32, #nn.shape<N, 3, 8>>) -> tensor<?x1x8xi64, #nn.shape<N, 1, 8>>
  %3 = nn.arg_reduce %x {kind = "max", axis = 1 : i64, keep_dims = true, select_last = false} : (tensor<?x3x8xf32, #nn.shape<N, 3, 8>>) -> tensor<?x1x8xi64, #nn.shape<N, 1, 8>>
  // CHECK-NEXT: %{{.*}} = nn.cumulative %x {kind = "sum", axis = 0 : i64, exclusive = true, reverse = false} : (tensor<?x3x8xf32, #nn.shape<N, 3, 8>>) -> tensor<?x3x8xf32, #nn.shape<N, 3, 8>>
  %4 = nn.cumulative %x {kind = "sum", axis = 0 : i64, exclusive = true, reverse = false} : (tensor<?x3x8xf32, #nn.shape<N, 3, 8>>) -> tensor<?x3x8xf32, #nn.shape<N, 3, 8>>
  func.return
}

// CHECK-LABEL: func.func @normalisations
func.func @normalisations(%x: tensor<?x3x8xf32, #nn.shape<N, 3, 8>>, %s: tensor<8xf32>, %c: tensor<3xf32>) {
  // CHECK-NEXT: %{{.*}} = nn.softmax %x {axis = -1 : i64} : (tensor<?x3x8xf32, #nn.shape<N, 3, 8>>) -> tensor<?x3x8xf32, #nn.shape<N, 3, 8>>
  %0 = nn.softmax %x {axis = -1 : i64} : (tensor<?x3x8xf32, #nn.shape<N, 3, 8>>) -> tensor<?x3x8xf32, #nn.shape<N, 3, 8>>
  // CHECK-NEXT: %{{.*}} = nn.layer_norm %x, %s {axis = -1 : i64, epsilon = 1.000000e-05 : f64} : (tensor<?x3x8xf32, #nn.shape<N, 3, 8>>, tensor<8xf32>) -> tensor<?x3x8xf32, #nn.shape<N, 3, 8>>
  %1 = nn.layer_norm %x, %s {axis = -1 : i64, epsilon = 1.000000e-05 : f64} : (tensor<?x3x8xf32, #nn.shape<N, 3, 8>>, tensor<8xf32>) -> tensor<?x3x8xf32, #nn.shape<N, 3, 8>>
  // CHECK-NEXT: %{{.*}} = nn.layer_norm %x, %s, %s {axis = 2 : i64, epsilon = 1.000000e-05 : f64} : (tensor<?x3x8xf32, #nn.shape<N, 3, 8>>, tensor<8xf32>, tensor<8xf32>) -> tensor<?x3x8xf32, #nn.shape<N, 3, 8>>
  %2 = nn.layer_norm %x, %s, %s {axis = 2 : i64, epsilon = 1.000000e-05 : f64} : (tensor<?x3x8xf32, #nn.shape<N, 3, 8>>, tensor<8xf32>, tensor<8xf32>) -> tensor<?x3x8xf32, #nn.shape<N, 3, 8>>
  // CHECK-NEXT: %{{.*}} = nn.batch_norm %x, %c, %c, %c, %c {axis = 1 : i64, epsilon = 1.000000e-03 : f64} : (tensor<?x3x8xf32, #nn.shape<N, 3, 8>>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> tensor<?x3x8xf32, #nn.shape<N, 3, 8>>
  %3 = nn.batch_norm %x, %c, %c, %c, %c {axis = 1 : i64, epsilon = 1.000000e-03 : f64} : (tensor<?x3x8xf32, #nn.shape<N, 3, 8>>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>, tensor<3xf32>) -> tensor<?x3x8xf32, #nn.shape<N, 3, 8>>
  func.return
}
