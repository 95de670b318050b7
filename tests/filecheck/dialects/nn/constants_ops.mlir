// RUN: NNC_ROUNDTRIP

// xDSL's generic form does not read infinities and NaN back: custom form only.

// CHECK-LABEL: func.func @not_finite
func.func @not_finite() {
  // CHECK-NEXT: %{{.*}} = nn.constant dense<"0x000080FF"> : tensor<f32>
  %0 = nn.constant dense<"0x000080FF"> : tensor<f32>
  // CHECK-NEXT: %{{.*}} = nn.constant dense<"0x0000C07F0000803F"> : tensor<2xf32>
  %1 = nn.constant dense<"0x0000C07F0000803F"> : tensor<2xf32>
  // CHECK-NEXT: %{{.*}} = nn.constant dense<"0x807F"> : tensor<bf16>
  %2 = nn.constant dense<"0x807F"> : tensor<bf16>
  func.return
}

// CHECK-LABEL: func.func @whole_and_signed
func.func @whole_and_signed() {
  // CHECK-NEXT: %{{.*}} = nn.constant dense<[123456790.0, 16777216.0]> : tensor<2xf32>
  %0 = nn.constant dense<[123456792.0, 16777216.0]> : tensor<2xf32>
  // CHECK-NEXT: %{{.*}} = nn.constant dense<[0.0, -0.0]> : tensor<2xf32>
  %1 = nn.constant dense<[0.0, -0.0]> : tensor<2xf32>
  // CHECK-NEXT: %{{.*}} = nn.constant dense<[1.5, -3.0e-05]> : tensor<2xf64>
  %2 = nn.constant dense<[1.5, -0.00003]> : tensor<2xf64>
  func.return
}
