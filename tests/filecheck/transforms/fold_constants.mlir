// RUN: nnc-opt %s -p fold-constants --split-input-file | filecheck %s
// RUN: nnc-opt %s -p 'fold-constants{max-bytes=16}' --split-input-file | filecheck %s --check-prefix LIMIT

// CHECK-LABEL: func.func @chain
// CHECK-NEXT: [[C:%.*]] = nn.constant dense<[-3, -4]> : tensor<2xi64> {loc_name = "last"}
// CHECK-NEXT: func.return [[C]]
func.func @chain() -> tensor<2xi64> {
  %0 = nn.constant dense<[1, 2]> : tensor<2xi64>
  %1 = nn.constant dense<2> : tensor<2xi64>
  %2 = nn.add %0, %1 : (tensor<2xi64>, tensor<2xi64>) -> tensor<2xi64>
  %3 = nn.neg %2 {loc_name = "last"} : (tensor<2xi64>) -> tensor<2xi64>
  func.return %3 : tensor<2xi64>
}

// -----

// Results above 16 elements become weights, named after what they were made from.

// CHECK-LABEL: func.func @weight
// CHECK-NEXT: [[W:%.*]] = nn.weight "scale.concat" {loc_name = "scale"} : tensor<20xf32>
// CHECK-NEXT: func.return [[W]]
func.func @weight() -> tensor<20xf32> {
  %0 = nn.constant dense<[1.0, 2.0, 3.0, 4.0, 5.0]> : tensor<5xf32>
  %1 = nn.neg %0 {loc_name = "unused name"} : (tensor<5xf32>) -> tensor<5xf32>
  %2 = nn.concat %0, %1, %0, %1 {axis = 0 : i64, loc_name = "scale"} : (tensor<5xf32>, tensor<5xf32>, tensor<5xf32>, tensor<5xf32>) -> tensor<20xf32>
  func.return %2 : tensor<20xf32>
}

// -----

// What is larger than its operands is folded up to `max-bytes`.

// CHECK-LABEL: func.func @limit
// CHECK-NEXT: nn.weight "neg" : tensor<20xi64>
// LIMIT-LABEL: func.func @limit
// LIMIT-NEXT: nn.iota
// LIMIT-NEXT: nn.neg
func.func @limit() -> tensor<20xi64> {
  %0 = nn.iota {axis = 0 : i64} : tensor<20xi64>
  %1 = nn.neg %0 : (tensor<20xi64>) -> tensor<20xi64>
  func.return %1 : tensor<20xi64>
}

// -----

// Repeating a constant costs nothing as a view: the broadcast stays.

// CHECK-LABEL: func.func @broadcast
// CHECK-NEXT: [[C:%.*]] = nn.constant dense<-2.0> : tensor<f32>
// CHECK-NEXT: [[B:%.*]] = nn.broadcast [[C]] : (tensor<f32>) -> tensor<64x64xf32>
// CHECK-NEXT: nn.add %x, [[B]]
func.func @broadcast(%x: tensor<64x64xf32>) -> tensor<64x64xf32> {
  %0 = nn.constant dense<2.0> : tensor<f32>
  %1 = nn.neg %0 : (tensor<f32>) -> tensor<f32>
  %2 = nn.broadcast %1 : (tensor<f32>) -> tensor<64x64xf32>
  %3 = nn.add %x, %2 : (tensor<64x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
  func.return %3 : tensor<64x64xf32>
}

// -----

// What is computed from repeated elements is repeated again.

// CHECK-LABEL: func.func @splat
// CHECK-NEXT: [[C:%.*]] = nn.constant dense<-2.0> : tensor<f32>
// CHECK-NEXT: [[B:%.*]] = nn.broadcast [[C]] : (tensor<f32>) -> tensor<64x64xf32>
// CHECK-NEXT: func.return [[B]]
func.func @splat() -> tensor<64x64xf32> {
  %0 = nn.constant dense<2.0> : tensor<f32>
  %1 = nn.broadcast %0 : (tensor<f32>) -> tensor<64x64xf32>
  %2 = nn.neg %1 : (tensor<64x64xf32>) -> tensor<64x64xf32>
  func.return %2 : tensor<64x64xf32>
}

// -----

// A weight without data cannot be folded; what does not depend on it can.

// CHECK-LABEL: func.func @absent
// CHECK-NEXT: [[W:%.*]] = nn.weight "absent" : tensor<32x8xf32>
// CHECK-NEXT: [[T:%.*]] = nn.transpose [[W]]
// CHECK-NEXT: [[C:%.*]] = nn.constant dense<[0, 1]> : tensor<2xi64>
// CHECK-NEXT: func.return [[T]], [[C]]
func.func @absent() -> (tensor<8x32xf32>, tensor<2xi64>) {
  %0 = nn.weight "absent" : tensor<32x8xf32>
  %1 = nn.transpose %0 {permutation = array<i64: 1, 0>} : (tensor<32x8xf32>) -> tensor<8x32xf32>
  %2 = nn.iota {axis = 0 : i64} : tensor<2xi64>
  func.return %1, %2 : tensor<8x32xf32>, tensor<2xi64>
}

// -----

// Values of symbols are known when the model runs; numbers among dims are known now.

// CHECK-LABEL: func.func @symbolic
// CHECK: [[D:%.*]] = nn.dims <N, 2> : tensor<2xi64>
// CHECK: [[M:%.*]] = nn.mul [[D]], [[D]]
// CHECK: [[C:%.*]] = nn.constant dense<[9, 4]> : tensor<2xi64>
// CHECK: [[Z:%.*]] = nn.constant dense<0.0> : tensor<f32>
// CHECK: [[B:%.*]] = nn.broadcast [[Z]]
// CHECK: func.return [[M]], [[C]], [[B]]
func.func @symbolic() -> (tensor<2xi64>, tensor<2xi64>, tensor<?xf32, #nn.shape<N>>) {
  %0 = nn.dims <N, 2> : tensor<2xi64>
  %1 = nn.mul %0, %0 : (tensor<2xi64>, tensor<2xi64>) -> tensor<2xi64>
  %2 = nn.dims <3, 2> : tensor<2xi64>
  %3 = nn.mul %2, %2 : (tensor<2xi64>, tensor<2xi64>) -> tensor<2xi64>
  %4 = nn.constant dense<0.0> : tensor<f32>
  %5 = nn.broadcast %4 : (tensor<f32>) -> tensor<?xf32, #nn.shape<N>>
  func.return %1, %3, %5 : tensor<2xi64>, tensor<2xi64>, tensor<?xf32, #nn.shape<N>>
}

// -----

// An op that fails stays: it is the run that ends with an error.

// CHECK-LABEL: func.func @division_by_zero
// CHECK: nn.div
func.func @division_by_zero() -> tensor<i32> {
  %0 = nn.constant dense<1> : tensor<i32>
  %1 = nn.constant dense<0> : tensor<i32>
  %2 = nn.div %0, %1 : (tensor<i32>, tensor<i32>) -> tensor<i32>
  func.return %2 : tensor<i32>
}

// -----

// A dispatch on constants folds as a whole.

// CHECK-LABEL: func.func @dispatch
// CHECK-NEXT: [[A:%.*]] = nn.constant dense<4.0> : tensor<f32>
// CHECK-NEXT: [[B:%.*]] = nn.constant dense<2.0> : tensor<f32>
// CHECK-NEXT: func.return [[A]], [[B]]
func.func @dispatch() -> (tensor<f32>, tensor<f32>) {
  %0 = nn.constant dense<4.0> : tensor<f32>
  %1, %2 = nn.dispatch(%0) : (tensor<f32>) -> (tensor<f32>, tensor<f32>) {
  ^bb0(%a: tensor<f32>):
    %3 = nn.sqrt %a : (tensor<f32>) -> tensor<f32>
    nn.yield %a, %3 : tensor<f32>, tensor<f32>
  }
  func.return %1, %2 : tensor<f32>, tensor<f32>
}

// -----

// Sizes inside of a dispatch are those of the run as well.
// CHECK-LABEL: func.func @free_sizes_inside
// CHECK: nn.dispatch
func.func @free_sizes_inside(%x: tensor<?xf32, #nn.shape<N>>) -> tensor<4xf32> {
  %c = nn.constant dense<2.0> : tensor<f32>
  %y = nn.dispatch(%c) : (tensor<f32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<f32>):
    %b = nn.broadcast %a : (tensor<f32>) -> tensor<?xf32, #nn.shape<N>>
    %d = nn.dim_cast %b : (tensor<?xf32, #nn.shape<N>>) -> tensor<4xf32>
    nn.yield %d : tensor<4xf32>
  }
  func.return %y : tensor<4xf32>
}
