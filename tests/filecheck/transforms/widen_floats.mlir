// RUN: nnc-opt %s -p widen-floats | filecheck %s

// CHECK-LABEL: func.func @types_constants_and_weights_are_widened
// CHECK-SAME: (%x: tensor<4x20xf64>) -> tensor<4x3xf64>
func.func @types_constants_and_weights_are_widened(%x: tensor<4x20xf32>) -> tensor<4x3xf32> {
  // CHECK-NEXT: nn.weight "w.f64" : tensor<20x3xf64>
  %w = nn.weight "w" : tensor<20x3xf32>
  // CHECK-NEXT: nn.matmul %x, %{{.*}} : (tensor<4x20xf64>, tensor<20x3xf64>) -> tensor<4x3xf64>
  %0 = nn.matmul %x, %w : (tensor<4x20xf32>, tensor<20x3xf32>) -> tensor<4x3xf32>
  // CHECK-NEXT: nn.constant dense<0.5> : tensor<4x3xf64>
  %1 = nn.constant dense<0.5> : tensor<4x3xf32>
  // CHECK-NEXT: nn.add %{{.*}} : (tensor<4x3xf64>, tensor<4x3xf64>) -> tensor<4x3xf64>
  %2 = nn.add %0, %1 : (tensor<4x3xf32>, tensor<4x3xf32>) -> tensor<4x3xf32>
  // CHECK-NEXT: func.return %{{.*}} : tensor<4x3xf64>
  func.return %2 : tensor<4x3xf32>
}

// CHECK-LABEL: func.func @free_sizes_stay
// CHECK-SAME: tensor<?xf64, #nn.shape<N>>
func.func @free_sizes_stay(%x: tensor<?xf32, #nn.shape<N>>) -> tensor<?xf32, #nn.shape<N>> {
  // CHECK-NEXT: nn.relu %x : (tensor<?xf64, #nn.shape<N>>) -> tensor<?xf64, #nn.shape<N>>
  %0 = nn.relu %x : (tensor<?xf32, #nn.shape<N>>) -> tensor<?xf32, #nn.shape<N>>
  func.return %0 : tensor<?xf32, #nn.shape<N>>
}

// CHECK-LABEL: func.func @regions_are_widened
func.func @regions_are_widened(%x: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK-NEXT: nn.dispatch(%x) : (tensor<4xf64>) -> tensor<4xf64> {
  // CHECK-NEXT: ^{{.*}}(%{{.*}}: tensor<4xf64>):
  // CHECK-NEXT: nn.exp %{{.*}} : (tensor<4xf64>) -> tensor<4xf64>
  %0 = nn.dispatch(%x) : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<4xf32>):
    %1 = nn.exp %a : (tensor<4xf32>) -> tensor<4xf32>
    nn.yield %1 : tensor<4xf32>
  }
  func.return %0 : tensor<4xf32>
}

// Other types, narrower floats among them, stay.
// CHECK-LABEL: func.func @other_types_stay
// CHECK-SAME: (%x: tensor<4xf16>, %i: tensor<4xi64>) -> tensor<4xf16>
func.func @other_types_stay(%x: tensor<4xf16>, %i: tensor<4xi64>) -> tensor<4xf16> {
  // CHECK-NEXT: nn.constant dense<2> : tensor<4xi64>
  %c = nn.constant dense<2> : tensor<4xi64>
  // CHECK-NEXT: nn.add %i, %{{.*}} : (tensor<4xi64>, tensor<4xi64>) -> tensor<4xi64>
  %0 = nn.add %i, %c : (tensor<4xi64>, tensor<4xi64>) -> tensor<4xi64>
  // CHECK-NEXT: nn.relu %x : (tensor<4xf16>) -> tensor<4xf16>
  %1 = nn.relu %x : (tensor<4xf16>) -> tensor<4xf16>
  func.return %1 : tensor<4xf16>
}
