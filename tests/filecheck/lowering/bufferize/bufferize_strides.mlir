// RUN: nnc-opt %s -p bufferize --split-input-file | filecheck %s

// Rows of 4 KiB that a contraction reads are 64 bytes further apart.
// CHECK-LABEL: func.func @main
// CHECK: rt.alloc : !rt.buffer<f32, #nn.shape<8, 1024>, #nn.shape<1040, 1>>
func.func @main(%x: tensor<8x1024xf32>, %b: tensor<1024x4xf32>) -> tensor<8x4xf32> {
  %0 = nn.dispatch(%x) : (tensor<8x1024xf32>) -> tensor<8x1024xf32> {
  ^bb0(%a: tensor<8x1024xf32>):
    %r = nn.abs %a : (tensor<8x1024xf32>) -> tensor<8x1024xf32>
    nn.yield %r : tensor<8x1024xf32>
  }
  %1 = nn.dispatch(%0, %b) : (tensor<8x1024xf32>, tensor<1024x4xf32>) -> tensor<8x4xf32> {
  ^bb0(%a: tensor<8x1024xf32>, %w: tensor<1024x4xf32>):
    %r = nn.matmul %a, %w : (tensor<8x1024xf32>, tensor<1024x4xf32>) -> tensor<8x4xf32>
    nn.yield %r : tensor<8x4xf32>
  }
  func.return %1 : tensor<8x4xf32>
}

// -----

// Not where a reader needs them side by side.
// CHECK-LABEL: func.func @main
// CHECK: rt.alloc : !rt.buffer<f32, #nn.shape<8, 1024>, #nn.shape<1024, 1>>
func.func @main(%x: tensor<8x1024xf32>, %b: tensor<1024x1000xf32>) -> (tensor<8x1000xf32>, tensor<8192xf32>) {
  %0 = nn.dispatch(%x) : (tensor<8x1024xf32>) -> tensor<8x1024xf32> {
  ^bb0(%a: tensor<8x1024xf32>):
    %r = nn.abs %a : (tensor<8x1024xf32>) -> tensor<8x1024xf32>
    nn.yield %r : tensor<8x1024xf32>
  }
  %1 = nn.dispatch(%0, %b) : (tensor<8x1024xf32>, tensor<1024x1000xf32>) -> tensor<8x1000xf32> {
  ^bb0(%a: tensor<8x1024xf32>, %w: tensor<1024x1000xf32>):
    %r = nn.matmul %a, %w : (tensor<8x1024xf32>, tensor<1024x1000xf32>) -> tensor<8x1000xf32>
    nn.yield %r : tensor<8x1000xf32>
  }
  %2 = nn.dispatch(%0, %1) : (tensor<8x1024xf32>, tensor<8x1000xf32>) -> tensor<8192xf32> {
  ^bb0(%a: tensor<8x1024xf32>, %u: tensor<8x1000xf32>):
    %f = nn.reshape %a : (tensor<8x1024xf32>) -> tensor<8192xf32>
    %r = nn.neg %f : (tensor<8192xf32>) -> tensor<8192xf32>
    nn.yield %r : tensor<8192xf32>
  }
  func.return %1, %2 : tensor<8x1000xf32>, tensor<8192xf32>
}

// -----

// Slices and broadcasts are views with offsets, steps and zero strides.
// CHECK-LABEL: func.func @main
// CHECK: %[[S:.*]] = rt.view %x {offset = #nn.shape<6*N - 5>} : !rt.buffer<f32, #nn.shape<N, 6>, #nn.shape<6, 1>> -> !rt.buffer<f32, #nn.shape<N, 2>, #nn.shape<-6, 3>>
// CHECK: rt.dispatch ins(%[[S]] : {{.*}})
// CHECK: %[[B:.*]] = rt.view %y {offset = #nn.shape<0>} : {{.*}} -> !rt.buffer<f32, #nn.shape<3, 4>, #nn.shape<1, 0>>
// CHECK: rt.dispatch ins(%[[B]] : {{.*}})
func.func @main(%x: tensor<?x6xf32, #nn.shape<N, 6>>, %y: tensor<3x1xf32>) -> (tensor<?x2xf32, #nn.shape<N, 2>>, tensor<3x4xf32>) {
  %0 = nn.slice %x {offsets = #nn.shape<N - 1, 1>, steps = array<i64: -1, 3>} : (tensor<?x6xf32, #nn.shape<N, 6>>) -> tensor<?x2xf32, #nn.shape<N, 2>>
  %1 = nn.broadcast %y : (tensor<3x1xf32>) -> tensor<3x4xf32>
  func.return %0, %1 : tensor<?x2xf32, #nn.shape<N, 2>>, tensor<3x4xf32>
}

// -----

// A reshape that is no view of its operand copies it first.
// CHECK-LABEL: func.func @main
// CHECK: %[[T:.*]] = rt.view %x {{.*}} -> !rt.buffer<f32, #nn.shape<3, 2>, #nn.shape<1, 3>>
// CHECK: %[[D:.*]] = rt.alloc : !rt.buffer<f32, #nn.shape<3, 2>, #nn.shape<2, 1>>
// CHECK: rt.dispatch ins(%[[T]] : {{.*}}) outs(%[[D]] : {{.*}}) attributes {loc_name = "reshape"} {
// CHECK: %[[V:.*]] = rt.view %[[D]] {{.*}} -> !rt.buffer<f32, #nn.shape<6>, #nn.shape<1>>
// CHECK: rt.dispatch ins(%[[V]] : {{.*}}) outs(%{{.*}} : {{.*}}) {
func.func @main(%x: tensor<2x3xf32>) -> tensor<6xf32> {
  %0 = nn.transpose %x {permutation = array<i64: 1, 0>} : (tensor<2x3xf32>) -> tensor<3x2xf32>
  %1 = nn.reshape %0 {loc_name = "reshape"} : (tensor<3x2xf32>) -> tensor<6xf32>
  func.return %1 : tensor<6xf32>
}

// -----

// What the model claims about sizes is checked when it runs.
// CHECK-LABEL: func.func @main
// CHECK: rt.assert_equal {loc_name = "cast", lhs = #nn.shape<A>, rhs = #nn.shape<B>}
// CHECK: rt.assert_equal {loc_name = "inner", lhs = #nn.shape<4*B>, rhs = #nn.shape<A*B>}
func.func @main(%x: tensor<?x4xf32, #nn.shape<A, 4>>, %y: tensor<?xf32, #nn.shape<B>>) -> tensor<?x?xf32, #nn.shape<A, B>> {
  %0 = nn.dim_cast %x {loc_name = "cast"} : (tensor<?x4xf32, #nn.shape<A, 4>>) -> tensor<?x4xf32, #nn.shape<B, 4>>
  %1 = nn.dispatch(%0) {loc_name = "outer"} : (tensor<?x4xf32, #nn.shape<B, 4>>) -> tensor<?x?xf32, #nn.shape<A, B>> {
  ^bb0(%a: tensor<?x4xf32, #nn.shape<B, 4>>):
    %f = nn.reshape %a {loc_name = "inner"} : (tensor<?x4xf32, #nn.shape<B, 4>>) -> tensor<?x?xf32, #nn.shape<A, B>>
    %r = nn.neg %f : (tensor<?x?xf32, #nn.shape<A, B>>) -> tensor<?x?xf32, #nn.shape<A, B>>
    nn.yield %r : tensor<?x?xf32, #nn.shape<A, B>>
  }
  func.return %1 : tensor<?x?xf32, #nn.shape<A, B>>
}
