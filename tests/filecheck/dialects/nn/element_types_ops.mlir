// RUN: NNC_ROUNDTRIP
// RUN: NNC_GENERIC_ROUNDTRIP

// CHECK-LABEL: func.func @types
// CHECK-SAME: %a: tensor<3xf8E4M3FN>, %b: tensor<3xf8E4M3FNUZ>, %c: tensor<3xf8E5M2>
// CHECK-SAME: %d: tensor<3xf8E5M2FNUZ>, %e: tensor<3xf8E8M0FNU>, %f: tensor<3xf6E2M3FN>
// CHECK-SAME: %g: tensor<3xf6E3M2FN>, %h: tensor<3xf4E2M1FN>, %i: tensor<3xi4>
// CHECK-SAME: %j: tensor<3xui4>, %k: tensor<3xi2>, %l: tensor<3xui2>
// CHECK-SAME: %m: tensor<3xcomplex<f32>>, %n: tensor<3xcomplex<f64>>
func.func @types(
    %a: tensor<3xf8E4M3FN>, %b: tensor<3xf8E4M3FNUZ>, %c: tensor<3xf8E5M2>,
    %d: tensor<3xf8E5M2FNUZ>, %e: tensor<3xf8E8M0FNU>, %f: tensor<3xf6E2M3FN>,
    %g: tensor<3xf6E3M2FN>, %h: tensor<3xf4E2M1FN>, %i: tensor<3xi4>,
    %j: tensor<3xui4>, %k: tensor<3xi2>, %l: tensor<3xui2>,
    %m: tensor<3xcomplex<f32>>, %n: tensor<3xcomplex<f64>>) {
  func.return
}

// CHECK-LABEL: func.func @casts
func.func @casts(%x: tensor<2x3xf32>) {
  // CHECK-NEXT: %{{.*}} = nn.cast %x : (tensor<2x3xf32>) -> tensor<2x3xf8E4M3FN>
  %0 = nn.cast %x : (tensor<2x3xf32>) -> tensor<2x3xf8E4M3FN>
  // CHECK-NEXT: %{{.*}} = nn.cast %x {saturate = false} : (tensor<2x3xf32>) -> tensor<2x3xf8E5M2>
  %1 = nn.cast %x {saturate = false} : (tensor<2x3xf32>) -> tensor<2x3xf8E5M2>
  // CHECK-NEXT: %{{.*}} = nn.cast %x {round_mode = "nearest"} : (tensor<2x3xf32>) -> tensor<2x3xf8E8M0FNU>
  %2 = nn.cast %x {round_mode = "nearest"} : (tensor<2x3xf32>) -> tensor<2x3xf8E8M0FNU>
  // CHECK-NEXT: %{{.*}} = nn.cast %x : (tensor<2x3xf32>) -> tensor<2x3xui2>
  %3 = nn.cast %x : (tensor<2x3xf32>) -> tensor<2x3xui2>
  func.return
}

// CHECK-LABEL: func.func @constants
func.func @constants() {
  // CHECK-NEXT: %{{.*}} = nn.constant dense<[1.5, -0.0]> : tensor<2xf8E5M2>
  %0 = nn.constant dense<[1.5, -0.0]> : tensor<2xf8E5M2>
  // CHECK-NEXT: %{{.*}} = nn.constant dense<[0.25, 128.0]> : tensor<2xf8E8M0FNU>
  %1 = nn.constant dense<[0.25, 128.0]> : tensor<2xf8E8M0FNU>
  // CHECK-NEXT: %{{.*}} = nn.constant dense<[-6.0, 0.5]> : tensor<2xf4E2M1FN>
  %2 = nn.constant dense<[-6.0, 0.5]> : tensor<2xf4E2M1FN>
  // CHECK-NEXT: %{{.*}} = nn.constant dense<[-8, 7]> : tensor<2xi4>
  %3 = nn.constant dense<[-8, 7]> : tensor<2xi4>
  // CHECK-NEXT: %{{.*}} = nn.constant dense<[15, 0]> : tensor<2xui4>
  %4 = nn.constant dense<[15, 0]> : tensor<2xui4>
  // CHECK-NEXT: %{{.*}} = nn.constant dense<[1, -2]> : tensor<2xi2>
  %5 = nn.constant dense<[1, -2]> : tensor<2xi2>
  func.return
}

// CHECK-LABEL: func.func @moved
func.func @moved(%x: tensor<2x3xi4>, %i: tensor<2xi64>) {
  // CHECK-NEXT: %{{.*}} = nn.transpose %x {permutation = array<i64: 1, 0>} : (tensor<2x3xi4>) -> tensor<3x2xi4>
  %0 = nn.transpose %x {permutation = array<i64: 1, 0>} : (tensor<2x3xi4>) -> tensor<3x2xi4>
  // CHECK-NEXT: %{{.*}} = nn.gather %x, %i {axis = 1 : i64} : (tensor<2x3xi4>, tensor<2xi64>) -> tensor<2x2xi4>
  %1 = nn.gather %x, %i {axis = 1 : i64} : (tensor<2x3xi4>, tensor<2xi64>) -> tensor<2x2xi4>
  func.return
}
