// RUN: NNC_ROUNDTRIP
// RUN: NNC_GENERIC_ROUNDTRIP

// CHECK-LABEL: func.func @plain
func.func @plain(%q: tensor<2x12x7x64xf32>, %k: tensor<2x12x9x64xf32>, %v: tensor<2x12x9x32xf32>) {
  // CHECK-NEXT: %{{.*}} = nn.attention %q, %k, %v {scale = 1.250000e-01 : f64} : (tensor<2x12x7x64xf32>, tensor<2x12x9x64xf32>, tensor<2x12x9x32xf32>) -> tensor<2x12x7x32xf32>
  %0 = nn.attention %q, %k, %v {scale = 0.125 : f64} : (tensor<2x12x7x64xf32>, tensor<2x12x9x64xf32>, tensor<2x12x9x32xf32>) -> tensor<2x12x7x32xf32>
  func.return
}

// Heads in groups, two masks, symbolic lengths, a batch of one for all.
// CHECK-LABEL: func.func @masked
func.func @masked(%q: tensor<?x8x?x64xf32, #nn.shape<N, 8, S, 64>>, %k: tensor<1x2x?x64xf32, #nn.shape<1, 2, P + S, 64>>, %v: tensor<1x2x?x64xf32, #nn.shape<1, 2, P + S, 64>>, %keep: tensor<?x1x1x?xi1, #nn.shape<N, 1, 1, P + S>>, %bias: tensor<8x?x1xf32, #nn.shape<8, S, 1>>) {
  // CHECK-NEXT: %{{.*}} = nn.attention %q, %k, %v, %keep, %bias {scale = 1.000000e+00 : f64, fill = -1.000000e+04 : f64, causal = #nn.shape<P>, nan_to_zero = true}
  %0 = nn.attention %q, %k, %v, %keep, %bias {scale = 1.0 : f64, fill = -1.0e4 : f64, causal = #nn.shape<P>, nan_to_zero = true} : (tensor<?x8x?x64xf32, #nn.shape<N, 8, S, 64>>, tensor<1x2x?x64xf32, #nn.shape<1, 2, P + S, 64>>, tensor<1x2x?x64xf32, #nn.shape<1, 2, P + S, 64>>, tensor<?x1x1x?xi1, #nn.shape<N, 1, 1, P + S>>, tensor<8x?x1xf32, #nn.shape<8, S, 1>>) -> tensor<?x8x?x64xf32, #nn.shape<N, 8, S, 64>>
  func.return
}
