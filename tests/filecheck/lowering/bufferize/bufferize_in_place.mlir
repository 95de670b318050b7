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

// A pointwise result takes over an operand that nobody reads later. So all of these are
// produced in the model's output.
// CHECK-LABEL: func.func @main
// CHECK-NOT: rt.alloc
// CHECK: rt.dispatch ins(%x : {{.*}}) outs(%[[A:.*]] : {{.*}}) {
// CHECK: rt.dispatch ins(%[[A]], %x : {{.*}}) outs(%[[A]] : {{.*}}) {
// CHECK: rt.dispatch ins(%[[A]] : {{.*}}) outs(%[[A]] : {{.*}}) {
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
// CHECK-SAME: %[[C:[0-9]+]]: {{.*}} {rt.output}, %[[F:[0-9]+]]: {{.*}} {rt.output})
// CHECK: %[[A:.*]] = rt.view %[[F]] {offset = #nn.shape<0>}
// CHECK: %[[B:.*]] = rt.alloc
// CHECK: rt.dispatch ins(%[[A]] : {{.*}}) outs(%[[B]] : {{.*}}) attributes {loc_name = "read_later"} {
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

// -----

// A row program takes over an operand too: a row is read before it is written. Not if
// it stores columns. What dies there is produced where the result goes.
// CHECK-LABEL: func.func @main
// CHECK: %[[A:.*]] = rt.alloc
// CHECK: rt.dispatch ins(%x : {{.*}}) outs(%[[A]] : {{.*}}) attributes {loc_name = "first"} {
// CHECK: rt.dispatch ins(%[[A]] : {{.*}}) outs(%[[A]] : {{.*}}) attributes {loc_name = "rows"} {
// CHECK: rt.dispatch ins(%[[A]] : {{.*}}) outs(%[[Y:.*]] : {{.*}}) attributes {loc_name = "turned"} {
// CHECK: rt.dispatch ins(%[[Y]] : {{.*}}) outs(%[[Y]] : {{.*}}) attributes {loc_name = "last"} {
// CHECK-NOT: rt.alloc
func.func @main(%x: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %0 = nn.dispatch(%x) {loc_name = "first"} : (tensor<4x4xf32>) -> tensor<4x4xf32> {
  ^bb0(%a: tensor<4x4xf32>):
    %r = nn.abs %a : (tensor<4x4xf32>) -> tensor<4x4xf32>
    nn.yield %r : tensor<4x4xf32>
  }
  %1 = nn.dispatch(%0) {loc_name = "rows"} : (tensor<4x4xf32>) -> tensor<4x4xf32> {
  ^bb0(%a: tensor<4x4xf32>):
    %m = nn.reduce %a {kind = "max", axes = array<i64: 1>, keep_dims = true} : (tensor<4x4xf32>) -> tensor<4x1xf32>
    %s = nn.broadcast %m : (tensor<4x1xf32>) -> tensor<4x4xf32>
    %r = nn.sub %a, %s : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
    nn.yield %r : tensor<4x4xf32>
  }
  %2 = nn.dispatch(%1) {loc_name = "turned"} : (tensor<4x4xf32>) -> tensor<4x4xf32> {
  ^bb0(%a: tensor<4x4xf32>):
    %m = nn.reduce %a {kind = "max", axes = array<i64: 1>, keep_dims = true} : (tensor<4x4xf32>) -> tensor<4x1xf32>
    %s = nn.broadcast %m : (tensor<4x1xf32>) -> tensor<4x4xf32>
    %r = nn.abs %s : (tensor<4x4xf32>) -> tensor<4x4xf32>
    %t = nn.transpose %r {permutation = array<i64: 1, 0>} : (tensor<4x4xf32>) -> tensor<4x4xf32>
    nn.yield %t : tensor<4x4xf32>
  }
  %3 = nn.dispatch(%2) {loc_name = "last"} : (tensor<4x4xf32>) -> tensor<4x4xf32> {
  ^bb0(%a: tensor<4x4xf32>):
    %m = nn.reduce %a {kind = "max", axes = array<i64: 1>, keep_dims = true} : (tensor<4x4xf32>) -> tensor<4x1xf32>
    %s = nn.broadcast %m : (tensor<4x1xf32>) -> tensor<4x4xf32>
    %r = nn.sub %a, %s : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
    nn.yield %r : tensor<4x4xf32>
  }
  func.return %3 : tensor<4x4xf32>
}

// -----

// Into a part of a concatenation, through a view: one operand only.
// CHECK-LABEL: func.func @main
// CHECK: %[[B:.*]] = rt.view %[[Y:.*]] {offset = #nn.shape<16>}
// CHECK: rt.dispatch ins(%x : {{.*}}) outs(%[[V:.*]] : {{.*}}) attributes {loc_name = "one"} {
// CHECK: %[[A:.*]] = rt.alloc
// CHECK: rt.dispatch ins(%x : {{.*}}) outs(%[[A]] : {{.*}}) attributes {loc_name = "two"} {
// CHECK: rt.dispatch ins(%[[B]], %[[A]] : {{.*}}) outs(%[[B]] : {{.*}}) attributes {loc_name = "sum"} {
// CHECK-NOT: rt.alloc
func.func @main(%x: tensor<4x4xf32>) -> tensor<8x4xf32> {
  %0 = nn.dispatch(%x) {loc_name = "one"} : (tensor<4x4xf32>) -> tensor<4x4xf32> {
  ^bb0(%a: tensor<4x4xf32>):
    %r = nn.abs %a : (tensor<4x4xf32>) -> tensor<4x4xf32>
    nn.yield %r : tensor<4x4xf32>
  }
  %1 = nn.dispatch(%x) {loc_name = "two"} : (tensor<4x4xf32>) -> tensor<4x4xf32> {
  ^bb0(%a: tensor<4x4xf32>):
    %r = nn.abs %a : (tensor<4x4xf32>) -> tensor<4x4xf32>
    nn.yield %r : tensor<4x4xf32>
  }
  %2 = nn.dispatch(%0, %1) {loc_name = "sum"} : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32> {
  ^bb0(%a: tensor<4x4xf32>, %b: tensor<4x4xf32>):
    %r = nn.add %a, %b : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
    nn.yield %r : tensor<4x4xf32>
  }
  %3 = nn.concat %x, %2 {axis = 0 : i64} : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<8x4xf32>
  func.return %3 : tensor<8x4xf32>
}

// -----

// Not what is read later. Nor what is concatenated,
// as its parts may be read later.
// CHECK-LABEL: func.func @main
// CHECK: %[[C:.*]] = rt.alloc : !rt.buffer<f32, #nn.shape<8, 4>, {{.*}}>
// CHECK: %[[P:.*]] = rt.view %[[C]] {offset = #nn.shape<0>}
// CHECK: rt.dispatch ins(%x : {{.*}}) outs(%[[P]] : {{.*}}) attributes {loc_name = "part"} {
// CHECK: %[[A:.*]] = rt.alloc
// CHECK: rt.dispatch ins(%x : {{.*}}) outs(%[[A]] : {{.*}}) attributes {loc_name = "one"} {
// CHECK: rt.dispatch ins(%[[A]], %[[P]] : {{.*}}) outs(%[[B:.*]] : {{.*}}) attributes {loc_name = "two"} {
// CHECK: rt.dispatch ins(%[[A]] : {{.*}}) outs(%{{.*}} : {{.*}}) attributes {loc_name = "three"} {
// CHECK: rt.dispatch ins(%[[C]] : {{.*}}) outs(%[[D:.*]] : {{.*}}) attributes {loc_name = "four"} {
// CHECK: rt.dispatch ins(%[[P]] : {{.*}}) outs(%{{.*}} : {{.*}}) attributes {loc_name = "five"} {
func.func @main(%x: tensor<4x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xf32>, tensor<8x4xf32>, tensor<4x4xf32>) {
  %0 = nn.dispatch(%x) {loc_name = "part"} : (tensor<4x4xf32>) -> tensor<4x4xf32> {
  ^bb0(%a: tensor<4x4xf32>):
    %r = nn.abs %a : (tensor<4x4xf32>) -> tensor<4x4xf32>
    nn.yield %r : tensor<4x4xf32>
  }
  %1 = nn.dispatch(%x) {loc_name = "one"} : (tensor<4x4xf32>) -> tensor<4x4xf32> {
  ^bb0(%a: tensor<4x4xf32>):
    %r = nn.abs %a : (tensor<4x4xf32>) -> tensor<4x4xf32>
    nn.yield %r : tensor<4x4xf32>
  }
  %2 = nn.dispatch(%1, %0) {loc_name = "two"} : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32> {
  ^bb0(%a: tensor<4x4xf32>, %b: tensor<4x4xf32>):
    %r = nn.add %a, %b : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
    nn.yield %r : tensor<4x4xf32>
  }
  %3 = nn.dispatch(%1) {loc_name = "three"} : (tensor<4x4xf32>) -> tensor<4x4xf32> {
  ^bb0(%a: tensor<4x4xf32>):
    %t = nn.transpose %a {permutation = array<i64: 1, 0>} : (tensor<4x4xf32>) -> tensor<4x4xf32>
    %r = nn.abs %t : (tensor<4x4xf32>) -> tensor<4x4xf32>
    nn.yield %r : tensor<4x4xf32>
  }
  %4 = nn.concat %0, %x {axis = 0 : i64} : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<8x4xf32>
  %5 = nn.dispatch(%4) {loc_name = "four"} : (tensor<8x4xf32>) -> tensor<8x4xf32> {
  ^bb0(%a: tensor<8x4xf32>):
    %r = nn.abs %a : (tensor<8x4xf32>) -> tensor<8x4xf32>
    nn.yield %r : tensor<8x4xf32>
  }
  %6 = nn.dispatch(%0) {loc_name = "five"} : (tensor<4x4xf32>) -> tensor<4x4xf32> {
  ^bb0(%a: tensor<4x4xf32>):
    %r = nn.neg %a : (tensor<4x4xf32>) -> tensor<4x4xf32>
    nn.yield %r : tensor<4x4xf32>
  }
  func.return %2, %3, %5, %6 : tensor<4x4xf32>, tensor<4x4xf32>, tensor<8x4xf32>, tensor<4x4xf32>
}

// -----

// Not what is also read at other positions, through a view of its own.
// CHECK-LABEL: func.func @main
// CHECK-SAME: %[[Y:[0-9]+]]: {{.*}} {rt.output})
// CHECK: %[[A:.*]] = rt.alloc
// CHECK: rt.dispatch ins(%x : {{.*}}) outs(%[[A]] : {{.*}}) {
// CHECK: rt.dispatch ins(%[[A]], %{{[0-9]+}} : {{.*}}) outs(%[[Y]] : {{.*}}) {
func.func @main(%x: tensor<4x4xf32>) -> tensor<4x4xf32> {
  %0 = nn.dispatch(%x) : (tensor<4x4xf32>) -> tensor<4x4xf32> {
  ^bb0(%a: tensor<4x4xf32>):
    %r = nn.abs %a : (tensor<4x4xf32>) -> tensor<4x4xf32>
    nn.yield %r : tensor<4x4xf32>
  }
  %1 = nn.transpose %0 {permutation = array<i64: 1, 0>} : (tensor<4x4xf32>) -> tensor<4x4xf32>
  %2 = nn.dispatch(%0, %1) : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32> {
  ^bb0(%a: tensor<4x4xf32>, %b: tensor<4x4xf32>):
    %r = nn.add %a, %b : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
    nn.yield %r : tensor<4x4xf32>
  }
  func.return %2 : tensor<4x4xf32>
}
