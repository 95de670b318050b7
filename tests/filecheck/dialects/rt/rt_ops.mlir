// RUN: NNC_ROUNDTRIP
// RUN: NNC_GENERIC_ROUNDTRIP

// CHECK-LABEL: func.func @memory
func.func @memory() {
  // CHECK: rt.alloc : !rt.buffer<f32, #nn.shape<N, 64>, #nn.shape<80, 1>>
  %a = rt.alloc : !rt.buffer<f32, #nn.shape<N, 64>, #nn.shape<80, 1>>
  // CHECK: rt.alloc {first = 0 : i64, last = 2 : i64, offset = 128 : i64} : !rt.buffer<i1, #nn.shape<3>, #nn.shape<1>>
  %b = rt.alloc {first = 0, last = 2, offset = 128} : !rt.buffer<i1, #nn.shape<3>, #nn.shape<1>>
  // CHECK: rt.weight {resource = "w 1"} : !rt.buffer<ui8, #nn.shape<4>, #nn.shape<1>>
  %w = rt.weight {resource = "w 1"} : !rt.buffer<ui8, #nn.shape<4>, #nn.shape<1>>
  // CHECK: rt.constant dense<1.0> : tensor<f32>
  %c = rt.constant dense<1.0> : tensor<f32>
  // CHECK: rt.view %{{.*}} {loc_name = "slice", offset = #nn.shape<80>} : !rt.buffer<f32, #nn.shape<N, 64>, #nn.shape<80, 1>> -> !rt.buffer<f32, #nn.shape<N - 1, 32>, #nn.shape<80, -2>>
  %v = rt.view %a {offset = #nn.shape<80>, loc_name = "slice"} : !rt.buffer<f32, #nn.shape<N, 64>, #nn.shape<80, 1>> -> !rt.buffer<f32, #nn.shape<N - 1, 32>, #nn.shape<80, -2>>
  // CHECK: rt.view %{{.*}} {offset = #nn.shape<-N + 4>}
  %u = rt.view %a {offset = #nn.shape<-N + 4>} : !rt.buffer<f32, #nn.shape<N, 64>, #nn.shape<80, 1>> -> !rt.buffer<f32, #nn.shape<N>, #nn.shape<-1>>
  func.return
}

// -----

// CHECK-LABEL: func.func @program
func.func @program(%x: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>> {nn.name = "x"}, %y: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>> {nn.name = "y", rt.output}) {
  // CHECK: rt.dispatch ins(%x : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) outs(%y : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) attributes {loc_name = "relu"} {
  rt.dispatch ins(%x : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) outs(%y : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) attributes {loc_name = "relu"} {
  // CHECK-NEXT: ^bb0(%{{.*}}: tensor<4xf32>):
  ^bb0(%a: tensor<4xf32>):
    %0 = nn.abs %a : (tensor<4xf32>) -> tensor<4xf32>
    nn.yield %0 : tensor<4xf32>
  }
  // CHECK: rt.dispatch ins() outs(%y : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) {
  rt.dispatch ins() outs(%y : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) {
    %0 = nn.constant dense<1.0> : tensor<4xf32>
    nn.yield %0 : tensor<4xf32>
  }
  // CHECK: rt.launch @k(%x, %y) {loc_name = "relu", dims = #nn.shape<N, 3>, tasks = #nn.shape<N>, schedule = "pointwise", work = #nn.shape<3*N, 12*N, 4*N>} : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>, !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
  rt.launch @k(%x, %y) {dims = #nn.shape<N, 3>, tasks = #nn.shape<N>, schedule = "pointwise", work = #nn.shape<3*N, 12*N, 4*N>, loc_name = "relu"} : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>, !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
  // CHECK: rt.assert_equal {loc_name = "reshape", lhs = #nn.shape<A, 3>, rhs = #nn.shape<B, C>}
  rt.assert_equal {lhs = #nn.shape<A, 3>, rhs = #nn.shape<B, C>, loc_name = "reshape"}
  func.return
}
