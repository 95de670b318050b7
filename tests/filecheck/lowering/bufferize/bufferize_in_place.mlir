// RUN: nnc-opt %s -p bufferize --split-input-file | filecheck %s

// The operands of a concatenation are produced in their parts of the result.
// CHECK-LABEL: func.func @main
// CHECK: %[[A:.*]] = rt.view %[[Y:.*]] {offset = #nn.shape<0>} : !rt.buffer<f32, #nn.shape<3, 6>, #nn.shape<6, 1>> -> !rt.buffer<f32, #nn.shape<3, 2>, #nn.shape<6, 1>>
// CHECK: rt.dispatch ins(%x : {{.*}}) outs(%[[A]] : {{.*}}) attributes {loc_name = "abs"} {
// CHECK: %[[B:.*]] = rt.view %[[Y]] {offset = #nn.shape<2>} : {{.*}} -> !rt.buffer<f32, #nn.shape<3, 2>, #nn.shape<6, 1>>
// CHECK: rt.dispatch ins(%x : {{.*}}) outs(%[[B]] : {{.*}}) attributes {loc_name = "concat"} {
// CHECK-NEXT: ^bb0(%[[I:.*]]: tensor<3x2xf32>):
// CHECK-NEXT: nn.yield %[[I]]
// CHECK: %[[C:.*]] = rt.view %[[Y]] {offset = #nn.shape<4>}
// CHECK: rt.dispatch ins(%[[A]] : {{.*}}) outs(%[[C]] : {{.*}}) attributes {loc_name = "concat"} {
// CHECK-NOT: rt.dispatch
func.func @main(%x: tensor<3x2xf32>) -> tensor<3x6xf32> {
  %0 = nn.dispatch(%x) {loc_name = "abs"} : (tensor<3x2xf32>) -> tensor<3x2xf32> {
  ^bb0(%a: tensor<3x2xf32>):
    %1 = nn.abs %a : (tensor<3x2xf32>) -> tensor<3x2xf32>
    nn.yield %1 : tensor<3x2xf32>
  }
  %2 = nn.concat %0, %x, %0 {axis = 1 : i64, loc_name = "concat"} : (tensor<3x2xf32>, tensor<3x2xf32>, tensor<3x2xf32>) -> tensor<3x6xf32>
  func.return %2 : tensor<3x6xf32>
}

// -----

// A value whose reader needs its rows side by side is not produced there.
// CHECK-LABEL: func.func @main
// CHECK: %[[A:.*]] = rt.alloc : !rt.buffer<f32, #nn.shape<3, 2>, #nn.shape<2, 1>>
// CHECK-NEXT: rt.dispatch ins(%x : {{.*}}) outs(%[[A]] : {{.*}}) attributes {loc_name = "abs"} {
// CHECK: rt.dispatch ins(%[[A]] : {{.*}}) outs(%{{.*}} : !rt.buffer<f32, #nn.shape<3, 2>, #nn.shape<4, 1>>) attributes {loc_name = "concat"} {
func.func @main(%x: tensor<3x2xf32>) -> (tensor<3x4xf32>, tensor<6xf32>) {
  %0 = nn.dispatch(%x) {loc_name = "abs"} : (tensor<3x2xf32>) -> tensor<3x2xf32> {
  ^bb0(%a: tensor<3x2xf32>):
    %1 = nn.abs %a : (tensor<3x2xf32>) -> tensor<3x2xf32>
    nn.yield %1 : tensor<3x2xf32>
  }
  %2 = nn.concat %0, %x {axis = 1 : i64, loc_name = "concat"} : (tensor<3x2xf32>, tensor<3x2xf32>) -> tensor<3x4xf32>
  %3 = nn.reshape %0 : (tensor<3x2xf32>) -> tensor<6xf32>
  %4 = nn.dispatch(%3) : (tensor<6xf32>) -> tensor<6xf32> {
  ^bb0(%a: tensor<6xf32>):
    %5 = nn.neg %a : (tensor<6xf32>) -> tensor<6xf32>
    nn.yield %5 : tensor<6xf32>
  }
  func.return %2, %4 : tensor<3x4xf32>, tensor<6xf32>
}

// -----

// A padded tensor: the inside is produced in place, the border filled. On axis 0 the
// amounts are equal: both slabs are one place, 7 rows of 4 apart. On axis 1 they differ.
// CHECK-LABEL: func.func @main
// CHECK: %[[I:.*]] = rt.view %[[Y:.*]] {offset = #nn.shape<6>} : !rt.buffer<f32, #nn.shape<8, 5>, #nn.shape<5, 1>> -> !rt.buffer<f32, #nn.shape<6, 2>, #nn.shape<5, 1>>
// CHECK-NEXT: rt.dispatch ins(%x : {{.*}}) outs(%[[I]] : {{.*}})
// CHECK: %[[R:.*]] = rt.view %[[Y]] {offset = #nn.shape<0>} : {{.*}} -> !rt.buffer<f32, #nn.shape<2, 1, 5>, #nn.shape<35, 5, 1>>
// CHECK-NEXT: rt.dispatch ins() outs(%[[R]] : {{.*}}) {
// CHECK-NEXT: %[[C:.*]] = nn.constant dense<0.0> : tensor<f32>
// CHECK-NEXT: %[[F:.*]] = nn.broadcast %[[C]] : (tensor<f32>) -> tensor<2x1x5xf32>
// CHECK-NEXT: nn.yield %[[F]]
// CHECK: rt.view %[[Y]] {offset = #nn.shape<5>} : {{.*}} -> !rt.buffer<f32, #nn.shape<6, 1>, #nn.shape<5, 1>>
// CHECK: rt.view %[[Y]] {offset = #nn.shape<8>} : {{.*}} -> !rt.buffer<f32, #nn.shape<6, 2>, #nn.shape<5, 1>>
// CHECK-NOT: rt.alloc
func.func @main(%x: tensor<6x2xf32>) -> tensor<8x5xf32> {
  %0 = nn.dispatch(%x) : (tensor<6x2xf32>) -> tensor<6x2xf32> {
  ^bb0(%a: tensor<6x2xf32>):
    %1 = nn.abs %a : (tensor<6x2xf32>) -> tensor<6x2xf32>
    nn.yield %1 : tensor<6x2xf32>
  }
  %2 = nn.pad %0 {low = #nn.shape<1, 1>, high = #nn.shape<1, 2>, mode = "constant"} : (tensor<6x2xf32>) -> tensor<8x5xf32>
  func.return %2 : tensor<8x5xf32>
}

// -----

// A pointwise result takes over an operand that nobody reads later.
// CHECK-LABEL: func.func @main
// CHECK: %[[A:.*]] = rt.alloc
// CHECK: rt.dispatch ins(%x : {{.*}}) outs(%[[A]] : {{.*}}) {
// CHECK: rt.dispatch ins(%[[A]], %x : {{.*}}) outs(%[[A]] : {{.*}}) {
// CHECK: rt.dispatch ins(%[[A]] : {{.*}}) outs(%{{.*}} : {{.*}}) {
// CHECK-NOT: rt.alloc
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %0 = nn.dispatch(%x) : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<4xf32>):
    %r = nn.abs %a : (tensor<4xf32>) -> tensor<4xf32>
    nn.yield %r : tensor<4xf32>
  }
  %1 = nn.dispatch(%0, %x) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<4xf32>, %b: tensor<4xf32>):
    %r = nn.add %a, %b : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    nn.yield %r : tensor<4xf32>
  }
  %2 = nn.dispatch(%1) : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<4xf32>):
    %r = nn.neg %a : (tensor<4xf32>) -> tensor<4xf32>
    nn.yield %r : tensor<4xf32>
  }
  func.return %2 : tensor<4xf32>
}

// -----

// Not one that is read later, even through a view; nor one read at other positions.
// CHECK-LABEL: func.func @main
// CHECK: %[[A:.*]] = rt.alloc
// CHECK: %[[B:.*]] = rt.alloc
// CHECK: rt.dispatch ins(%[[A]] : {{.*}}) outs(%[[B]] : {{.*}}) attributes {loc_name = "read_later"} {
// CHECK: %[[C:.*]] = rt.alloc
// CHECK: rt.dispatch ins(%[[B]] : {{.*}}) outs(%[[C]] : {{.*}}) attributes {loc_name = "turned"} {
func.func @main(%x: tensor<2x2xf32>) -> (tensor<2x2xf32>, tensor<4xf32>) {
  %0 = nn.dispatch(%x) : (tensor<2x2xf32>) -> tensor<2x2xf32> {
  ^bb0(%a: tensor<2x2xf32>):
    %r = nn.abs %a : (tensor<2x2xf32>) -> tensor<2x2xf32>
    nn.yield %r : tensor<2x2xf32>
  }
  %v = nn.reshape %0 : (tensor<2x2xf32>) -> tensor<4xf32>
  %1 = nn.dispatch(%0) {loc_name = "read_later"} : (tensor<2x2xf32>) -> tensor<2x2xf32> {
  ^bb0(%a: tensor<2x2xf32>):
    %r = nn.neg %a : (tensor<2x2xf32>) -> tensor<2x2xf32>
    nn.yield %r : tensor<2x2xf32>
  }
  %2 = nn.dispatch(%1) {loc_name = "turned"} : (tensor<2x2xf32>) -> tensor<2x2xf32> {
  ^bb0(%a: tensor<2x2xf32>):
    %t = nn.transpose %a {permutation = array<i64: 1, 0>} : (tensor<2x2xf32>) -> tensor<2x2xf32>
    %r = nn.neg %t : (tensor<2x2xf32>) -> tensor<2x2xf32>
    nn.yield %r : tensor<2x2xf32>
  }
  %3 = nn.dispatch(%2) : (tensor<2x2xf32>) -> tensor<2x2xf32> {
  ^bb0(%a: tensor<2x2xf32>):
    %r = nn.neg %a : (tensor<2x2xf32>) -> tensor<2x2xf32>
    nn.yield %r : tensor<2x2xf32>
  }
  %4 = nn.dispatch(%v) : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<4xf32>):
    %r = nn.neg %a : (tensor<4xf32>) -> tensor<4xf32>
    nn.yield %r : tensor<4xf32>
  }
  func.return %3, %4 : tensor<2x2xf32>, tensor<4xf32>
}
