// RUN: NNC_ROUNDTRIP
// RUN: NNC_GENERIC_ROUNDTRIP

// CHECK-LABEL: func.func @views
func.func @views(%x: tensor<1x4x6xf32>, %y: tensor<?x?x6xf32, #nn.shape<N, M, 6>>) {
  // CHECK-NEXT: %{{.*}} = nn.reshape %x : (tensor<1x4x6xf32>) -> tensor<24xf32>
  %0 = nn.reshape %x : (tensor<1x4x6xf32>) -> tensor<24xf32>
  // CHECK-NEXT: %{{.*}} = nn.reshape %y : (tensor<?x?x6xf32, #nn.shape<N, M, 6>>) -> tensor<?x3xf32, #nn.shape<2*M*N, 3>>
  %1 = nn.reshape %y : (tensor<?x?x6xf32, #nn.shape<N, M, 6>>) -> tensor<?x3xf32, #nn.shape<2*M*N, 3>>
  // CHECK-NEXT: %{{.*}} = nn.transpose %x {permutation = array<i64: 2, 0, 1>} : (tensor<1x4x6xf32>) -> tensor<6x1x4xf32>
  %2 = nn.transpose %x {permutation = array<i64: 2, 0, 1>} : (tensor<1x4x6xf32>) -> tensor<6x1x4xf32>
  // CHECK-NEXT: %{{.*}} = nn.broadcast %x : (tensor<1x4x6xf32>) -> tensor<5x?x4x6xf32, #nn.shape<5, N, 4, 6>>
  %3 = nn.broadcast %x : (tensor<1x4x6xf32>) -> tensor<5x?x4x6xf32, #nn.shape<5, N, 4, 6>>
  // CHECK-NEXT: %{{.*}} = nn.dim_cast %y : (tensor<?x?x6xf32, #nn.shape<N, M, 6>>) -> tensor<?x7x6xf32, #nn.shape<N, 7, 6>>
  %4 = nn.dim_cast %y : (tensor<?x?x6xf32, #nn.shape<N, M, 6>>) -> tensor<?x7x6xf32, #nn.shape<N, 7, 6>>
  // CHECK-NEXT: %{{.*}} = nn.slice %y {offsets = #nn.shape<0, M - 1, 5>, steps = array<i64: 1, -1, -2>} : (tensor<?x?x6xf32, #nn.shape<N, M, 6>>) -> tensor<?x?x2xf32, #nn.shape<N, M floordiv 2, 2>>
  %5 = nn.slice %y {offsets = #nn.shape<0, M - 1, 5>, steps = array<i64: 1, -1, -2>} : (tensor<?x?x6xf32, #nn.shape<N, M, 6>>) -> tensor<?x?x2xf32, #nn.shape<N, M floordiv 2, 2>>
  func.return
}

// CHECK-LABEL: func.func @pad_and_concat
func.func @pad_and_concat(%x: tensor<1x4x6xf32>, %v: tensor<f32>) {
  // CHECK-NEXT: %{{.*}} = nn.pad %x {low = #nn.shape<0, 1, 0>, high = #nn.shape<0, P, 2>, mode = "edge"} : (tensor<1x4x6xf32>) -> tensor<1x?x8xf32, #nn.shape<1, P + 5, 8>>
  %0 = nn.pad %x {low = #nn.shape<0, 1, 0>, high = #nn.shape<0, P, 2>, mode = "edge"} : (tensor<1x4x6xf32>) -> tensor<1x?x8xf32, #nn.shape<1, P + 5, 8>>
  // CHECK-NEXT: %{{.*}} = nn.pad %x, %v {low = #nn.shape<0, 0, 0>, high = #nn.shape<1, 0, 0>, mode = "constant"} : (tensor<1x4x6xf32>, tensor<f32>) -> tensor<2x4x6xf32>
  %1 = nn.pad %x, %v {low = #nn.shape<0, 0, 0>, high = #nn.shape<1, 0, 0>, mode = "constant"} : (tensor<1x4x6xf32>, tensor<f32>) -> tensor<2x4x6xf32>
  // CHECK-NEXT: %{{.*}} = nn.concat %x, %x, %x {axis = -1 : i64} : (tensor<1x4x6xf32>, tensor<1x4x6xf32>, tensor<1x4x6xf32>) -> tensor<1x4x18xf32>
  %2 = nn.concat %x, %x, %x {axis = -1 : i64} : (tensor<1x4x6xf32>, tensor<1x4x6xf32>, tensor<1x4x6xf32>) -> tensor<1x4x18xf32>
  func.return
}

// CHECK-LABEL: func.func @gathers
func.func @gathers(%x: tensor<1x4x6xf32>, %i: tensor<2x3xi64>, %j: tensor<1x2x6xi32>) {
  // CHECK-NEXT: %{{.*}} = nn.gather %x, %i {axis = 1 : i64} : (tensor<1x4x6xf32>, tensor<2x3xi64>) -> tensor<1x2x3x6xf32>
  %0 = nn.gather %x, %i {axis = 1 : i64} : (tensor<1x4x6xf32>, tensor<2x3xi64>) -> tensor<1x2x3x6xf32>
  // CHECK-NEXT: %{{.*}} = nn.gather_elements %x, %j {axis = 1 : i64} : (tensor<1x4x6xf32>, tensor<1x2x6xi32>) -> tensor<1x2x6xf32>
  %1 = nn.gather_elements %x, %j {axis = 1 : i64} : (tensor<1x4x6xf32>, tensor<1x2x6xi32>) -> tensor<1x2x6xf32>
  // CHECK-NEXT: %{{.*}} = nn.iota {axis = 1 : i64} : tensor<2x?xi64, #nn.shape<2, N>>
  %2 = nn.iota {axis = 1 : i64} : tensor<2x?xi64, #nn.shape<2, N>>
  // CHECK-NEXT: %{{.*}} = nn.resize %x {scales = array<f64: 1.000000e+00, 2.000000e+00, 5.000000e-01>, mode = "linear", coordinate_mode = "align_corners", nearest_mode = "floor"} : (tensor<1x4x6xf32>) -> tensor<1x8x3xf32>
  %3 = nn.resize %x {scales = array<f64: 1.000000e+00, 2.000000e+00, 5.000000e-01>, mode = "linear", coordinate_mode = "align_corners", nearest_mode = "floor"} : (tensor<1x4x6xf32>) -> tensor<1x8x3xf32>
  func.return
}
