// RUN: nnc-opt %s -p bufferize --split-input-file | filecheck %s

// A carried value has two buffers that take turns; slices and stacked elements move.
// What is yielded twice is stored twice.
// CHECK-LABEL: func.func @main
// CHECK: %[[TWO:.*]] = rt.alloc : !rt.buffer<f32, #nn.shape<2, 4>, #nn.shape<4, 1>>
// CHECK: rt.dispatch ins(%h : {{.*}}) outs(%{{.*}} : {{.*}})
// CHECK: rt.loop "loop$0" ended "loop$0.n" trips <T> {
// CHECK-NEXT: %[[H:.*]] = rt.view %[[TWO]] {offset = #nn.shape<4*(loop$0 mod 2)>}
// CHECK-NEXT: %[[X:.*]] = rt.view %x {offset = #nn.shape<4*loop$0>}
// CHECK-NEXT: %[[N:.*]] = rt.view %[[TWO]] {offset = #nn.shape<-4*(loop$0 mod 2) + 4>}
// CHECK-NEXT: %[[A:.*]] = rt.view %1 {offset = #nn.shape<4*loop$0>}
// CHECK-NEXT: rt.dispatch ins(%[[H]], %[[X]] : {{.*}}) outs(%[[N]], %[[A]] : {{.*}}) {
// CHECK: %[[V:.*]] = nn.mul
// CHECK-NEXT: nn.yield %[[V]], %[[V]]
// CHECK-NOT: rt.dispatch
// CHECK: rt.view %[[TWO]] {offset = #nn.shape<4*(T mod 2)>}
func.func @main(%h: tensor<4xf32> {nn.name = "h"}, %x: tensor<?x4xf32, #nn.shape<T, 4>> {nn.name = "x"}) -> (tensor<4xf32> {nn.name = "last"}, tensor<?x4xf32, #nn.shape<T, 4>> {nn.name = "all"}) {
  %last, %all = nn.loop trips <T> carry(%h : tensor<4xf32>) scan(%x : tensor<?x4xf32, #nn.shape<T, 4>>) capture() -> tensor<4xf32>, tensor<?x4xf32, #nn.shape<T, 4>> {
  ^bb0(%i: tensor<i64>, %a: tensor<4xf32>, %b: tensor<4xf32>):
    %0 = nn.dispatch(%a, %b) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32> {
    ^bb1(%c: tensor<4xf32>, %d: tensor<4xf32>):
      %1 = nn.mul %c, %d : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
      nn.yield %1 : tensor<4xf32>
    }
    nn.yield %0, %0 : tensor<4xf32>, tensor<4xf32>
  }
  func.return %last, %all : tensor<4xf32>, tensor<?x4xf32, #nn.shape<T, 4>>
}

// -----

// Both branches write what the function gives. A value that is handed on is copied.
// CHECK-LABEL: func.func @main
// CHECK: rt.if %c : !rt.buffer<i1, #nn.shape<>, #nn.shape<>> {
// CHECK-NEXT: rt.dispatch ins(%x : {{.*}}) outs(%[[Y:[0-9]+]] : {{.*}}) {
// CHECK: nn.exp
// CHECK: } else {
// CHECK-NEXT: rt.dispatch ins(%x : {{.*}}) outs(%[[Y]] : {{.*}}) {
// CHECK-NEXT: ^bb0(%[[I:.*]]: tensor<4xf32>):
// CHECK-NEXT: nn.yield %[[I]]
// CHECK: func.return

func.func @main(%c: tensor<i1> {nn.name = "c"}, %x: tensor<4xf32> {nn.name = "x"}) -> (tensor<4xf32> {nn.name = "y"}) {
  %r = nn.if %c(%x) : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<4xf32>):
    %0 = nn.dispatch(%a) : (tensor<4xf32>) -> tensor<4xf32> {
    ^bb1(%d: tensor<4xf32>):
      %1 = nn.exp %d : (tensor<4xf32>) -> tensor<4xf32>
      nn.yield %1 : tensor<4xf32>
    }
    nn.yield %0 : tensor<4xf32>
  } else {
  ^bb0(%a: tensor<4xf32>):
    nn.yield %a : tensor<4xf32>
  }
  func.return %r : tensor<4xf32>
}
