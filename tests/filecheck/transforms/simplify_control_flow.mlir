// RUN: nnc-opt %s -p simplify-control-flow --split-input-file | filecheck %s

// What does not change leaves the loop; constants are repeated inside; what nobody reads
// goes.
// CHECK-LABEL: func.func @main
// CHECK-NOT: nn.constant
// CHECK: %[[E:.*]] = nn.exp %b
// CHECK: nn.loop trips <T> carry(%h : tensor<4xf32>) scan() capture(%[[E]] : tensor<4xf32>) -> tensor<4xf32> {
// CHECK-NEXT: ^bb0(%{{.*}}: tensor<i64>, %[[H:.*]]: tensor<4xf32>, %[[C:.*]]: tensor<4xf32>):
// CHECK-NEXT: %[[W:.*]] = nn.constant
// CHECK-NEXT: %[[P:.*]] = nn.mul %[[H]], %[[W]]
// CHECK-NEXT: %[[S:.*]] = nn.add %[[P]], %[[C]]
// CHECK-NEXT: nn.yield %[[S]] : tensor<4xf32>
func.func @main(%h: tensor<4xf32>, %b: tensor<4xf32>, %x: tensor<?x4xf32, #nn.shape<T, 4>>) -> (tensor<4xf32>, tensor<4xf32>) {
  %w = nn.constant dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  %r, %s = nn.loop trips <T> carry(%h, %b : tensor<4xf32>, tensor<4xf32>) scan(%x : tensor<?x4xf32, #nn.shape<T, 4>>) capture(%w : tensor<4xf32>) -> tensor<4xf32>, tensor<4xf32> {
  ^bb0(%i: tensor<i64>, %h0: tensor<4xf32>, %b0: tensor<4xf32>, %x0: tensor<4xf32>, %w0: tensor<4xf32>):
    %0 = nn.exp %b0 : (tensor<4xf32>) -> tensor<4xf32>
    %1 = nn.mul %h0, %w0 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    %2 = nn.add %1, %0 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    nn.yield %2, %b0 : tensor<4xf32>, tensor<4xf32>
  }
  func.return %r, %s : tensor<4xf32>, tensor<4xf32>
}

// -----

// A known condition takes a branch.
// CHECK-LABEL: func.func @main
// CHECK-NOT: nn.if
// CHECK: %[[R:.*]] = nn.neg %x
// CHECK: func.return %[[R]]
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %c = nn.constant dense<false> : tensor<i1>
  %r = nn.if %c(%x) : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<4xf32>):
    nn.yield %a : tensor<4xf32>
  } else {
  ^bb0(%a: tensor<4xf32>):
    %0 = nn.neg %a : (tensor<4xf32>) -> tensor<4xf32>
    nn.yield %0 : tensor<4xf32>
  }
  func.return %r : tensor<4xf32>
}

// -----

// A known count is a property, a condition that stays true goes; an integer division
// could fail and stays where it is.
// CHECK-LABEL: func.func @main
// CHECK: nn.loop trips <7> carry(%x : tensor<i64>) scan() capture(%y
// CHECK: nn.div
func.func @main(%x: tensor<i64>, %y: tensor<i64>) -> tensor<i64> {
  %n = nn.constant dense<7> : tensor<i64>
  %c = nn.constant dense<true> : tensor<i1>
  %r = nn.loop count(%n) while(%c) carry(%x : tensor<i64>) scan() capture(%y : tensor<i64>) -> tensor<i64> {
  ^bb0(%i: tensor<i64>, %a: tensor<i64>, %b: tensor<i64>):
    %more = nn.constant dense<true> : tensor<i1>
    %0 = nn.div %b, %b : (tensor<i64>, tensor<i64>) -> tensor<i64>
    %1 = nn.add %a, %0 : (tensor<i64>, tensor<i64>) -> tensor<i64>
    nn.yield %more, %1 : tensor<i1>, tensor<i64>
  }
  func.return %r : tensor<i64>
}
