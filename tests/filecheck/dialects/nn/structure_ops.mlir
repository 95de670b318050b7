// RUN: NNC_ROUNDTRIP
// RUN: NNC_GENERIC_ROUNDTRIP

// CHECK-LABEL: func.func @constants
func.func @constants() {
  // CHECK-NEXT: %{{.*}} = nn.constant dense<[1, -2]> : tensor<2xi8>
  %0 = nn.constant dense<[1, -2]> : tensor<2xi8>
  // CHECK-NEXT: %{{.*}} = nn.constant dense<[[0.1, 2.0], [3.0e-05, 1.0e+20]]> : tensor<2x2xf32>
  %1 = nn.constant dense<[[0.1, 2.0], [3.0e-05, 1.0e+20]]> : tensor<2x2xf32>
  // CHECK-NEXT: %{{.*}} = nn.constant dense<true> : tensor<3xi1> {loc_name = "mask"}
  %2 = nn.constant dense<true> : tensor<3xi1> {loc_name = "mask"}
  // CHECK-NEXT: %{{.*}} = nn.constant dense<> : tensor<0xf32>
  %3 = nn.constant dense<> : tensor<0xf32>
  // CHECK-NEXT: %{{.*}} = nn.constant dense<18446744073709551615> : tensor<ui64>
  %4 = nn.constant dense<18446744073709551615> : tensor<ui64>
  // CHECK-NEXT: %{{.*}} = nn.weight "conv1.w \22quoted\22" : tensor<64x3x7x7xbf16>
  %5 = nn.weight "conv1.w \22quoted\22" : tensor<64x3x7x7xbf16>
  // CHECK-NEXT: %{{.*}} = nn.weight "w" {loc_name = "conv1"} : tensor<0xf16>
  %6 = nn.weight "w" {loc_name = "conv1"} : tensor<0xf16>
  // CHECK-NEXT: %{{.*}} = nn.dims <N, 3, max(4, N) floordiv 2, N*(N mod 3) - 1> : tensor<4xi64>
  %7 = nn.dims <N, 3, max(4, N) floordiv 2, N*(N mod 3) - 1> : tensor<4xi64>
  // CHECK-NEXT: %{{.*}} = nn.dims <> : tensor<0xi64>
  %8 = nn.dims <> : tensor<0xi64>
  func.return
}

// CHECK-LABEL: func.func @dispatches
func.func @dispatches(%x: tensor<?x8xf32, #nn.shape<N, 8>>, %w: tensor<8x8xf32>) {
  // CHECK-NEXT: %r, %s = nn.dispatch(%x, %w) {loc_name = "fc1+relu1"} : (tensor<?x8xf32, #nn.shape<N, 8>>, tensor<8x8xf32>) -> (tensor<?x8xf32, #nn.shape<N, 8>>, tensor<?x8xf32, #nn.shape<N, 8>>) {
  %r, %s = nn.dispatch(%x, %w) {loc_name = "fc1+relu1"} : (tensor<?x8xf32, #nn.shape<N, 8>>, tensor<8x8xf32>) -> (tensor<?x8xf32, #nn.shape<N, 8>>, tensor<?x8xf32, #nn.shape<N, 8>>) {
  // CHECK-NEXT: ^bb0(%a: tensor<?x8xf32, #nn.shape<N, 8>>, %b: tensor<8x8xf32>):
  ^bb0(%a: tensor<?x8xf32, #nn.shape<N, 8>>, %b: tensor<8x8xf32>):
    // CHECK-NEXT: %{{.*}} = nn.matmul %a, %b
    %0 = nn.matmul %a, %b : (tensor<?x8xf32, #nn.shape<N, 8>>, tensor<8x8xf32>) -> tensor<?x8xf32, #nn.shape<N, 8>>
    %1 = nn.relu %0 : (tensor<?x8xf32, #nn.shape<N, 8>>) -> tensor<?x8xf32, #nn.shape<N, 8>>
    // CHECK: nn.yield %{{.*}}, %{{.*}} {note} : tensor<?x8xf32, #nn.shape<N, 8>>, tensor<?x8xf32, #nn.shape<N, 8>>
    nn.yield %1, %0 {note} : tensor<?x8xf32, #nn.shape<N, 8>>, tensor<?x8xf32, #nn.shape<N, 8>>
  }
  // CHECK: %{{.*}} = nn.dispatch() : () -> tensor<2xi64> {
  %2 = nn.dispatch() : () -> tensor<2xi64> {
    %3 = nn.dims <N, 8> : tensor<2xi64>
    nn.yield %3 : tensor<2xi64>
  }
  func.return
}

// CHECK-LABEL: func.func @run_seed
func.func @run_seed() -> tensor<ui64> {
  // CHECK-NEXT: %{{.*}} = nn.run_seed : tensor<ui64>
  %0 = nn.run_seed : tensor<ui64>
  func.return %0 : tensor<ui64>
}
