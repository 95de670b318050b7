// RUN: nnc-opt %s -p raise-attention | filecheck %s

// CHECK-LABEL: func.func @scale_and_mask
// CHECK-NEXT:    %[[R:.*]] = nn.attention %q, %k, %v, %m {scale = 1.250000e-01 : f64}
// CHECK-NEXT:    func.return %[[R]]
func.func @scale_and_mask(%q: tensor<?x2x?x64xf32, #nn.shape<N, 2, S, 64>>, %k: tensor<?x2x?x64xf32, #nn.shape<N, 2, S, 64>>, %v: tensor<?x2x?x64xf32, #nn.shape<N, 2, S, 64>>, %m: tensor<?x1x1x?xf32, #nn.shape<N, 1, 1, S>>) -> tensor<?x2x?x64xf32, #nn.shape<N, 2, S, 64>> {
  %c = nn.constant dense<0.125> : tensor<f32>
  %0 = nn.transpose %k {permutation = array<i64: 0, 1, 3, 2>} : (tensor<?x2x?x64xf32, #nn.shape<N, 2, S, 64>>) -> tensor<?x2x64x?xf32, #nn.shape<N, 2, 64, S>>
  %1 = nn.matmul %q, %0 : (tensor<?x2x?x64xf32, #nn.shape<N, 2, S, 64>>, tensor<?x2x64x?xf32, #nn.shape<N, 2, 64, S>>) -> tensor<?x2x?x?xf32, #nn.shape<N, 2, S, S>>
  %2 = nn.broadcast %c : (tensor<f32>) -> tensor<?x2x?x?xf32, #nn.shape<N, 2, S, S>>
  %3 = nn.mul %1, %2 : (tensor<?x2x?x?xf32, #nn.shape<N, 2, S, S>>, tensor<?x2x?x?xf32, #nn.shape<N, 2, S, S>>) -> tensor<?x2x?x?xf32, #nn.shape<N, 2, S, S>>
  %4 = nn.broadcast %m : (tensor<?x1x1x?xf32, #nn.shape<N, 1, 1, S>>) -> tensor<?x2x?x?xf32, #nn.shape<N, 2, S, S>>
  %5 = nn.add %3, %4 : (tensor<?x2x?x?xf32, #nn.shape<N, 2, S, S>>, tensor<?x2x?x?xf32, #nn.shape<N, 2, S, S>>) -> tensor<?x2x?x?xf32, #nn.shape<N, 2, S, S>>
  %6 = nn.softmax %5 {axis = -1 : i64} : (tensor<?x2x?x?xf32, #nn.shape<N, 2, S, S>>) -> tensor<?x2x?x?xf32, #nn.shape<N, 2, S, S>>
  %7 = nn.matmul %6, %v : (tensor<?x2x?x?xf32, #nn.shape<N, 2, S, S>>, tensor<?x2x?x64xf32, #nn.shape<N, 2, S, 64>>) -> tensor<?x2x?x64xf32, #nn.shape<N, 2, S, 64>>
  func.return %7 : tensor<?x2x?x64xf32, #nn.shape<N, 2, S, 64>>
}

// Half of the scale at the query, half at the key; the key comes transposed; a division.
// CHECK-LABEL: func.func @scales_at_operands
// CHECK:         %[[K:.*]] = nn.transpose %k
// CHECK-NEXT:    nn.attention %q, %[[K]], %v {scale = 5.000000e-01 : f64}
// CHECK-NEXT:    func.return
func.func @scales_at_operands(%q: tensor<2x3x4xf32>, %k: tensor<2x4x5xf32>, %v: tensor<2x5x6xf32>) -> tensor<2x3x6xf32> {
  %c = nn.constant dense<2.0> : tensor<f32>
  %0 = nn.broadcast %c : (tensor<f32>) -> tensor<2x3x4xf32>
  %1 = nn.div %q, %0 : (tensor<2x3x4xf32>, tensor<2x3x4xf32>) -> tensor<2x3x4xf32>
  %2 = nn.broadcast %c : (tensor<f32>) -> tensor<2x4x5xf32>
  %3 = nn.mul %k, %2 : (tensor<2x4x5xf32>, tensor<2x4x5xf32>) -> tensor<2x4x5xf32>
  %4 = nn.matmul %1, %3 : (tensor<2x3x4xf32>, tensor<2x4x5xf32>) -> tensor<2x3x5xf32>
  %5 = nn.broadcast %c : (tensor<f32>) -> tensor<2x3x5xf32>
  %6 = nn.div %4, %5 : (tensor<2x3x5xf32>, tensor<2x3x5xf32>) -> tensor<2x3x5xf32>
  %7 = nn.softmax %6 {axis = 2 : i64} : (tensor<2x3x5xf32>) -> tensor<2x3x5xf32>
  %8 = nn.matmul %7, %v : (tensor<2x3x5xf32>, tensor<2x5x6xf32>) -> tensor<2x3x6xf32>
  func.return %8 : tensor<2x3x6xf32>
}

// Products over merged axes, the mask over split ones; NaN weights are zero.
// CHECK-LABEL: func.func @merged_heads
// CHECK-DAG:     %[[Q:.*]] = nn.reshape %q {{.*}} -> tensor<2x3x4x8xf32>
// CHECK-DAG:     %[[K:.*]] = nn.reshape %{{.*}} -> tensor<2x3x5x8xf32>
// CHECK-DAG:     %[[V:.*]] = nn.reshape %v {{.*}} -> tensor<2x3x5x8xf32>
// CHECK:         %[[R:.*]] = nn.attention %[[Q]], %[[K]], %[[V]], %m {scale = 1.000000e+00 : f64, fill = -1.000000e+04 : f64, nan_to_zero = true}
// CHECK-NEXT:    nn.reshape %[[R]] {{.*}} -> tensor<6x4x8xf32>
// CHECK-NEXT:    func.return
func.func @merged_heads(%q: tensor<6x4x8xf32>, %k: tensor<6x5x8xf32>, %v: tensor<6x5x8xf32>, %m: tensor<2x1x4x5xi1>) -> tensor<6x4x8xf32> {
  %low = nn.constant dense<-10000.0> : tensor<f32>
  %zero = nn.constant dense<0.0> : tensor<f32>
  %0 = nn.transpose %k {permutation = array<i64: 0, 2, 1>} : (tensor<6x5x8xf32>) -> tensor<6x8x5xf32>
  %1 = nn.matmul %q, %0 : (tensor<6x4x8xf32>, tensor<6x8x5xf32>) -> tensor<6x4x5xf32>
  %2 = nn.reshape %1 : (tensor<6x4x5xf32>) -> tensor<2x3x4x5xf32>
  %3 = nn.broadcast %m : (tensor<2x1x4x5xi1>) -> tensor<2x3x4x5xi1>
  %4 = nn.broadcast %low : (tensor<f32>) -> tensor<2x3x4x5xf32>
  %5 = nn.select %3, %2, %4 : (tensor<2x3x4x5xi1>, tensor<2x3x4x5xf32>, tensor<2x3x4x5xf32>) -> tensor<2x3x4x5xf32>
  %6 = nn.softmax %5 {axis = -1 : i64} : (tensor<2x3x4x5xf32>) -> tensor<2x3x4x5xf32>
  %7 = nn.is_nan %6 : (tensor<2x3x4x5xf32>) -> tensor<2x3x4x5xi1>
  %8 = nn.broadcast %zero : (tensor<f32>) -> tensor<2x3x4x5xf32>
  %9 = nn.select %7, %8, %6 : (tensor<2x3x4x5xi1>, tensor<2x3x4x5xf32>, tensor<2x3x4x5xf32>) -> tensor<2x3x4x5xf32>
  %10 = nn.reshape %9 : (tensor<2x3x4x5xf32>) -> tensor<6x4x5xf32>
  %11 = nn.matmul %10, %v : (tensor<6x4x5xf32>, tensor<6x5x8xf32>) -> tensor<6x4x8xf32>
  func.return %11 : tensor<6x4x8xf32>
}

// Heads of the key repeated for groups of the query's; a mask that says what to hide.
// CHECK-LABEL: func.func @repeated_heads
// CHECK-DAG:     %[[K:.*]] = nn.reshape %k {{.*}} -> tensor<2x2x5x8xf32>
// CHECK-DAG:     %[[V:.*]] = nn.reshape %v {{.*}} -> tensor<2x2x5x8xf32>
// CHECK-DAG:     %[[M:.*]] = nn.not %m
// CHECK:         nn.attention %q, %[[K]], %[[V]], %[[M]] {scale = 1.000000e+00 : f64}
// CHECK-NEXT:    func.return
func.func @repeated_heads(%q: tensor<2x6x4x8xf32>, %k: tensor<2x2x1x5x8xf32>, %v: tensor<2x2x1x5x8xf32>, %m: tensor<4x5xi1>) -> tensor<2x6x4x8xf32> {
  %low = nn.constant dense<0xFF800000> : tensor<f32>
  %0 = nn.broadcast %k : (tensor<2x2x1x5x8xf32>) -> tensor<2x2x3x5x8xf32>
  %1 = nn.reshape %0 : (tensor<2x2x3x5x8xf32>) -> tensor<2x6x5x8xf32>
  %2 = nn.transpose %1 {permutation = array<i64: 0, 1, 3, 2>} : (tensor<2x6x5x8xf32>) -> tensor<2x6x8x5xf32>
  %3 = nn.matmul %q, %2 : (tensor<2x6x4x8xf32>, tensor<2x6x8x5xf32>) -> tensor<2x6x4x5xf32>
  %4 = nn.broadcast %m : (tensor<4x5xi1>) -> tensor<2x6x4x5xi1>
  %5 = nn.broadcast %low : (tensor<f32>) -> tensor<2x6x4x5xf32>
  %6 = nn.select %4, %5, %3 : (tensor<2x6x4x5xi1>, tensor<2x6x4x5xf32>, tensor<2x6x4x5xf32>) -> tensor<2x6x4x5xf32>
  %7 = nn.softmax %6 {axis = -1 : i64} : (tensor<2x6x4x5xf32>) -> tensor<2x6x4x5xf32>
  %8 = nn.broadcast %v : (tensor<2x2x1x5x8xf32>) -> tensor<2x2x3x5x8xf32>
  %9 = nn.reshape %8 : (tensor<2x2x3x5x8xf32>) -> tensor<2x6x5x8xf32>
  %10 = nn.matmul %7, %9 : (tensor<2x6x4x5xf32>, tensor<2x6x5x8xf32>) -> tensor<2x6x4x8xf32>
  func.return %10 : tensor<2x6x4x8xf32>
}

// Two dimensions are one head.
// CHECK-LABEL: func.func @one_head
// CHECK:         nn.attention {{.*}} -> tensor<1x3x6xf32>
// CHECK-NEXT:    nn.reshape {{.*}} -> tensor<3x6xf32>
func.func @one_head(%q: tensor<3x4xf32>, %k: tensor<4x5xf32>, %v: tensor<5x6xf32>) -> tensor<3x6xf32> {
  %0 = nn.matmul %q, %k : (tensor<3x4xf32>, tensor<4x5xf32>) -> tensor<3x5xf32>
  %1 = nn.softmax %0 {axis = 1 : i64} : (tensor<3x5xf32>) -> tensor<3x5xf32>
  %2 = nn.matmul %1, %v : (tensor<3x5xf32>, tensor<5x6xf32>) -> tensor<3x6xf32>
  func.return %2 : tensor<3x6xf32>
}

// ---- what stays

// Others want the weights.
// CHECK-LABEL: func.func @weights_are_an_output
// CHECK-NOT:     nn.attention
func.func @weights_are_an_output(%q: tensor<2x3x4xf32>, %k: tensor<2x4x5xf32>, %v: tensor<2x5x6xf32>) -> (tensor<2x3x5xf32>, tensor<2x3x6xf32>) {
  %0 = nn.matmul %q, %k : (tensor<2x3x4xf32>, tensor<2x4x5xf32>) -> tensor<2x3x5xf32>
  %1 = nn.softmax %0 {axis = 2 : i64} : (tensor<2x3x5xf32>) -> tensor<2x3x5xf32>
  %2 = nn.matmul %1, %v : (tensor<2x3x5xf32>, tensor<2x5x6xf32>) -> tensor<2x3x6xf32>
  func.return %1, %2 : tensor<2x3x5xf32>, tensor<2x3x6xf32>
}

// Others want the scores.
// CHECK-LABEL: func.func @scores_are_an_output
// CHECK-NOT:     nn.attention
func.func @scores_are_an_output(%q: tensor<2x3x4xf32>, %k: tensor<2x4x5xf32>, %v: tensor<2x5x6xf32>) -> (tensor<2x3x5xf32>, tensor<2x3x6xf32>) {
  %0 = nn.matmul %q, %k : (tensor<2x3x4xf32>, tensor<2x4x5xf32>) -> tensor<2x3x5xf32>
  %1 = nn.softmax %0 {axis = 2 : i64} : (tensor<2x3x5xf32>) -> tensor<2x3x5xf32>
  %2 = nn.matmul %1, %v : (tensor<2x3x5xf32>, tensor<2x5x6xf32>) -> tensor<2x3x6xf32>
  func.return %0, %2 : tensor<2x3x5xf32>, tensor<2x3x6xf32>
}

// A softmax over queries.
// CHECK-LABEL: func.func @other_axis
// CHECK-NOT:     nn.attention
func.func @other_axis(%q: tensor<2x3x4xf32>, %k: tensor<2x4x5xf32>, %v: tensor<2x5x6xf32>) -> tensor<2x3x6xf32> {
  %0 = nn.matmul %q, %k : (tensor<2x3x4xf32>, tensor<2x4x5xf32>) -> tensor<2x3x5xf32>
  %1 = nn.softmax %0 {axis = 1 : i64} : (tensor<2x3x5xf32>) -> tensor<2x3x5xf32>
  %2 = nn.matmul %1, %v : (tensor<2x3x5xf32>, tensor<2x5x6xf32>) -> tensor<2x3x6xf32>
  func.return %2 : tensor<2x3x6xf32>
}

// The scale applies to the mask, too.
// CHECK-LABEL: func.func @mask_before_scale
// CHECK-NOT:     nn.attention
func.func @mask_before_scale(%q: tensor<2x3x4xf32>, %k: tensor<2x4x5xf32>, %v: tensor<2x5x6xf32>, %m: tensor<2x3x5xf32>) -> tensor<2x3x6xf32> {
  %c = nn.constant dense<2.0> : tensor<f32>
  %0 = nn.matmul %q, %k : (tensor<2x3x4xf32>, tensor<2x4x5xf32>) -> tensor<2x3x5xf32>
  %1 = nn.add %0, %m : (tensor<2x3x5xf32>, tensor<2x3x5xf32>) -> tensor<2x3x5xf32>
  %2 = nn.broadcast %c : (tensor<f32>) -> tensor<2x3x5xf32>
  %3 = nn.mul %1, %2 : (tensor<2x3x5xf32>, tensor<2x3x5xf32>) -> tensor<2x3x5xf32>
  %4 = nn.softmax %3 {axis = 2 : i64} : (tensor<2x3x5xf32>) -> tensor<2x3x5xf32>
  %5 = nn.matmul %4, %v : (tensor<2x3x5xf32>, tensor<2x5x6xf32>) -> tensor<2x3x6xf32>
  func.return %5 : tensor<2x3x6xf32>
}

// The scale is known only when the model runs.
// CHECK-LABEL: func.func @free_scale
// CHECK-NOT:     nn.attention
func.func @free_scale(%q: tensor<2x3x4xf32>, %k: tensor<2x4x5xf32>, %v: tensor<2x5x6xf32>, %c: tensor<f32>) -> tensor<2x3x6xf32> {
  %0 = nn.matmul %q, %k : (tensor<2x3x4xf32>, tensor<2x4x5xf32>) -> tensor<2x3x5xf32>
  %1 = nn.broadcast %c : (tensor<f32>) -> tensor<2x3x5xf32>
  %2 = nn.mul %0, %1 : (tensor<2x3x5xf32>, tensor<2x3x5xf32>) -> tensor<2x3x5xf32>
  %3 = nn.softmax %2 {axis = 2 : i64} : (tensor<2x3x5xf32>) -> tensor<2x3x5xf32>
  %4 = nn.matmul %3, %v : (tensor<2x3x5xf32>, tensor<2x5x6xf32>) -> tensor<2x3x6xf32>
  func.return %4 : tensor<2x3x6xf32>
}

// A reshape between scores and softmax that mixes queries and keys.
// CHECK-LABEL: func.func @mixed_keys
// CHECK-NOT:     nn.attention
func.func @mixed_keys(%q: tensor<2x4x4xf32>, %k: tensor<2x4x6xf32>, %v: tensor<2x8x6xf32>) -> tensor<2x3x6xf32> {
  %0 = nn.matmul %q, %k : (tensor<2x4x4xf32>, tensor<2x4x6xf32>) -> tensor<2x4x6xf32>
  %1 = nn.reshape %0 : (tensor<2x4x6xf32>) -> tensor<2x3x8xf32>
  %2 = nn.softmax %1 {axis = 2 : i64} : (tensor<2x3x8xf32>) -> tensor<2x3x8xf32>
  %3 = nn.matmul %2, %v : (tensor<2x3x8xf32>, tensor<2x8x6xf32>) -> tensor<2x3x6xf32>
  func.return %3 : tensor<2x3x6xf32>
}

// The softmax stands on the wrong side of the second product.
// CHECK-LABEL: func.func @weights_on_the_right
// CHECK-NOT:     nn.attention
func.func @weights_on_the_right(%q: tensor<2x3x4xf32>, %k: tensor<2x4x3xf32>, %v: tensor<2x3x3xf32>) -> tensor<2x3x3xf32> {
  %0 = nn.matmul %q, %k : (tensor<2x3x4xf32>, tensor<2x4x3xf32>) -> tensor<2x3x3xf32>
  %1 = nn.softmax %0 {axis = 2 : i64} : (tensor<2x3x3xf32>) -> tensor<2x3x3xf32>
  %2 = nn.matmul %v, %1 : (tensor<2x3x3xf32>, tensor<2x3x3xf32>) -> tensor<2x3x3xf32>
  func.return %2 : tensor<2x3x3xf32>
}

// ---- scores of one query, repeated for the rows of a mask that may have one only

// CHECK-LABEL: func.func @one_query
// CHECK-DAG:     %[[Q:.*]] = nn.broadcast %q {{.*}} -> tensor<2x?x4xf32, #nn.shape<2, S, 4>>
// CHECK:         nn.attention %[[Q]], %{{.*}}, %v, %m {scale = 1.000000e+00 : f64, fill = -1.000000e+04 : f64}
// CHECK-NEXT:    func.return
func.func @one_query(%q: tensor<2x1x4xf32>, %k: tensor<2x4x5xf32>, %v: tensor<2x5x6xf32>, %m: tensor<1x?x5xi1, #nn.shape<1, S, 5>>) -> tensor<2x?x6xf32, #nn.shape<2, S, 6>> {
  %c = nn.constant dense<-10000.0> : tensor<f32>
  %0 = nn.matmul %q, %k : (tensor<2x1x4xf32>, tensor<2x4x5xf32>) -> tensor<2x1x5xf32>
  %1 = nn.broadcast %0 : (tensor<2x1x5xf32>) -> tensor<2x?x5xf32, #nn.shape<2, S, 5>>
  %2 = nn.broadcast %c : (tensor<f32>) -> tensor<2x?x5xf32, #nn.shape<2, S, 5>>
  %3 = nn.broadcast %m : (tensor<1x?x5xi1, #nn.shape<1, S, 5>>) -> tensor<2x?x5xi1, #nn.shape<2, S, 5>>
  %4 = nn.select %3, %1, %2 : (tensor<2x?x5xi1, #nn.shape<2, S, 5>>, tensor<2x?x5xf32, #nn.shape<2, S, 5>>, tensor<2x?x5xf32, #nn.shape<2, S, 5>>) -> tensor<2x?x5xf32, #nn.shape<2, S, 5>>
  %5 = nn.softmax %4 {axis = 2 : i64} : (tensor<2x?x5xf32, #nn.shape<2, S, 5>>) -> tensor<2x?x5xf32, #nn.shape<2, S, 5>>
  %6 = nn.matmul %5, %v : (tensor<2x?x5xf32, #nn.shape<2, S, 5>>, tensor<2x5x6xf32>) -> tensor<2x?x6xf32, #nn.shape<2, S, 6>>
  func.return %6 : tensor<2x?x6xf32, #nn.shape<2, S, 6>>
}
