// RUN: NNC_ROUNDTRIP
// RUN: NNC_GENERIC_ROUNDTRIP

// CHECK-LABEL: func.func @unary
func.func @unary(%f: tensor<2x3xf32>, %i: tensor<2x3xi32>, %b: tensor<2x3xi1>) {
  // CHECK-NEXT: %{{.*}} = nn.neg %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %0 = nn.neg %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.abs %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %1 = nn.abs %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.sign %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %2 = nn.sign %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.exp %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %3 = nn.exp %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.log %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %4 = nn.log %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.sqrt %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %5 = nn.sqrt %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.reciprocal %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %6 = nn.reciprocal %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.floor %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %7 = nn.floor %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.ceil %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %8 = nn.ceil %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.round %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %9 = nn.round %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.sin %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %10 = nn.sin %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.cos %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %11 = nn.cos %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.tan %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %12 = nn.tan %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.asin %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %13 = nn.asin %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.acos %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %14 = nn.acos %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.atan %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %15 = nn.atan %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.sinh %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %16 = nn.sinh %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.cosh %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %17 = nn.cosh %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.asinh %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %18 = nn.asinh %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.acosh %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %19 = nn.acosh %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.atanh %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %20 = nn.atanh %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.tanh %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %21 = nn.tanh %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.erf %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %22 = nn.erf %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.sigmoid %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %23 = nn.sigmoid %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.relu %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %24 = nn.relu %f : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.not %b : (tensor<2x3xi1>) -> tensor<2x3xi1>
  %25 = nn.not %b : (tensor<2x3xi1>) -> tensor<2x3xi1>
  func.return
}

// CHECK-LABEL: func.func @binary
func.func @binary(%f: tensor<2x3xf32>, %i: tensor<2x3xi32>, %b: tensor<2x3xi1>) {
  // CHECK-NEXT: %{{.*}} = nn.add %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  %0 = nn.add %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.sub %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  %1 = nn.sub %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.mul %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  %2 = nn.mul %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.div %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  %3 = nn.div %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.mod %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  %4 = nn.mod %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.rem %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  %5 = nn.rem %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.pow %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  %6 = nn.pow %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.maximum %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  %7 = nn.maximum %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.minimum %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  %8 = nn.minimum %f, %f : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.and %b, %b : (tensor<2x3xi1>, tensor<2x3xi1>) -> tensor<2x3xi1>
  %9 = nn.and %b, %b : (tensor<2x3xi1>, tensor<2x3xi1>) -> tensor<2x3xi1>
  // CHECK-NEXT: %{{.*}} = nn.or %b, %b : (tensor<2x3xi1>, tensor<2x3xi1>) -> tensor<2x3xi1>
  %10 = nn.or %b, %b : (tensor<2x3xi1>, tensor<2x3xi1>) -> tensor<2x3xi1>
  // CHECK-NEXT: %{{.*}} = nn.xor %b, %b : (tensor<2x3xi1>, tensor<2x3xi1>) -> tensor<2x3xi1>
  %11 = nn.xor %b, %b : (tensor<2x3xi1>, tensor<2x3xi1>) -> tensor<2x3xi1>
  // CHECK-NEXT: %{{.*}} = nn.shift_left %i, %i : (tensor<2x3xi32>, tensor<2x3xi32>) -> tensor<2x3xi32>
  %12 = nn.shift_left %i, %i : (tensor<2x3xi32>, tensor<2x3xi32>) -> tensor<2x3xi32>
  // CHECK-NEXT: %{{.*}} = nn.shift_right %i, %i : (tensor<2x3xi32>, tensor<2x3xi32>) -> tensor<2x3xi32>
  %13 = nn.shift_right %i, %i : (tensor<2x3xi32>, tensor<2x3xi32>) -> tensor<2x3xi32>
  func.return
}

// CHECK-LABEL: func.func @others
func.func @others(%f: tensor<2x3xf32>, %i: tensor<2x3xi32>, %b: tensor<2x3xi1>) {
  // CHECK-NEXT: %{{.*}} = nn.clamp %f {min = 0.000000e+00 : f64, max = 6.000000e+00 : f64} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %0 = nn.clamp %f {min = 0.000000e+00 : f64, max = 6.000000e+00 : f64} : (tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.clamp %i {min = 1.000000e+00 : f64} : (tensor<2x3xi32>) -> tensor<2x3xi32>
  %1 = nn.clamp %i {min = 1.000000e+00 : f64} : (tensor<2x3xi32>) -> tensor<2x3xi32>
  // CHECK-NEXT: %{{.*}} = nn.compare %f, %f {predicate = "lt"} : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xi1>
  %2 = nn.compare %f, %f {predicate = "lt"} : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xi1>
  // CHECK-NEXT: %{{.*}} = nn.is_nan %f : (tensor<2x3xf32>) -> tensor<2x3xi1>
  %3 = nn.is_nan %f : (tensor<2x3xf32>) -> tensor<2x3xi1>
  // CHECK-NEXT: %{{.*}} = nn.is_inf %f {positive = true, negative = false} : (tensor<2x3xf32>) -> tensor<2x3xi1>
  %4 = nn.is_inf %f {positive = true, negative = false} : (tensor<2x3xf32>) -> tensor<2x3xi1>
  // CHECK-NEXT: %{{.*}} = nn.select %b, %f, %f : (tensor<2x3xi1>, tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  %5 = nn.select %b, %f, %f : (tensor<2x3xi1>, tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  // CHECK-NEXT: %{{.*}} = nn.cast %i : (tensor<2x3xi32>) -> tensor<2x3xui8>
  %6 = nn.cast %i : (tensor<2x3xi32>) -> tensor<2x3xui8>
  func.return
}

// CHECK-LABEL: func.func @symbolic_and_located
func.func @symbolic_and_located(%s: tensor<?x3xf32, #nn.shape<N floordiv 2 + 1, 3>>) {
  // CHECK-NEXT: %{{.*}} = nn.add %s, %s {loc_name = "layer1/add"} : (tensor<?x3xf32, #nn.shape<N floordiv 2 + 1, 3>>, tensor<?x3xf32, #nn.shape<N floordiv 2 + 1, 3>>) -> tensor<?x3xf32, #nn.shape<N floordiv 2 + 1, 3>>
  %0 = nn.add %s, %s {loc_name = "layer1/add"} : (tensor<?x3xf32, #nn.shape<N floordiv 2 + 1, 3>>, tensor<?x3xf32, #nn.shape<N floordiv 2 + 1, 3>>) -> tensor<?x3xf32, #nn.shape<N floordiv 2 + 1, 3>>
  func.return
}

// CHECK-LABEL: func.func @bits
func.func @bits(%f: tensor<2x3xf32>, %k: tensor<4xui64>) {
  // CHECK-NEXT: %{{.*}} = nn.bit_cast %f : (tensor<2x3xf32>) -> tensor<2x3xi32>
  %0 = nn.bit_cast %f : (tensor<2x3xf32>) -> tensor<2x3xi32>
  // CHECK-NEXT: %{{.*}} = nn.threefry %k, %k : (tensor<4xui64>, tensor<4xui64>) -> tensor<4xui64>
  %1 = nn.threefry %k, %k : (tensor<4xui64>, tensor<4xui64>) -> tensor<4xui64>
  func.return
}
