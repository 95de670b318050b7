// RUN: nnc-opt %s -p plan-arena --split-input-file | filecheck %s

// Lifetimes count dispatches; views use their source. %a and %c may share memory.
// CHECK-LABEL: func.func @static
// CHECK: rt.alloc {first = 0 : i64, last = 1 : i64, offset = 0 : i64} : !rt.buffer<f32, #nn.shape<100>
// CHECK: rt.alloc {first = 1 : i64, last = 2 : i64, offset = 448 : i64} : !rt.buffer<f32, #nn.shape<10>
// CHECK: rt.alloc {first = 2 : i64, last = 2 : i64, offset = 0 : i64} : !rt.buffer<f32, #nn.shape<20>
// CHECK-NOT: rt.alloc
func.func @static(%x: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) {
  %a = rt.alloc : !rt.buffer<f32, #nn.shape<100>, #nn.shape<1>>
  %unused = rt.alloc : !rt.buffer<f32, #nn.shape<100>, #nn.shape<1>>
  rt.launch @k(%x, %a) {dims = #nn.shape<>, tasks = #nn.shape<1>} : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>, !rt.buffer<f32, #nn.shape<100>, #nn.shape<1>>
  %v = rt.view %a {offset = #nn.shape<90>} : !rt.buffer<f32, #nn.shape<100>, #nn.shape<1>> -> !rt.buffer<f32, #nn.shape<10>, #nn.shape<1>>
  %b = rt.alloc : !rt.buffer<f32, #nn.shape<10>, #nn.shape<1>>
  rt.launch @k(%v, %b) {dims = #nn.shape<>, tasks = #nn.shape<1>} : !rt.buffer<f32, #nn.shape<10>, #nn.shape<1>>, !rt.buffer<f32, #nn.shape<10>, #nn.shape<1>>
  %c = rt.alloc : !rt.buffer<f32, #nn.shape<20>, #nn.shape<1>>
  rt.launch @k(%b, %c) {dims = #nn.shape<>, tasks = #nn.shape<1>} : !rt.buffer<f32, #nn.shape<10>, #nn.shape<1>>, !rt.buffer<f32, #nn.shape<20>, #nn.shape<1>>
  func.return
}

// -----

// Sizes with symbols are packed when the model runs: lifetimes only.
// CHECK-LABEL: func.func @symbolic
// CHECK: rt.alloc {first = 0 : i64, last = 1 : i64} : !rt.buffer<f32, #nn.shape<N>
func.func @symbolic(%x: !rt.buffer<f32, #nn.shape<N>, #nn.shape<1>>) {
  %a = rt.alloc {first = 3, last = 9, offset = 64} : !rt.buffer<f32, #nn.shape<N>, #nn.shape<1>>
  rt.launch @k(%x, %a) {dims = #nn.shape<>, tasks = #nn.shape<1>} : !rt.buffer<f32, #nn.shape<N>, #nn.shape<1>>, !rt.buffer<f32, #nn.shape<N>, #nn.shape<1>>
  rt.launch @k(%a, %x) {dims = #nn.shape<>, tasks = #nn.shape<1>} : !rt.buffer<f32, #nn.shape<N>, #nn.shape<1>>, !rt.buffer<f32, #nn.shape<N>, #nn.shape<1>>
  func.return
}

// -----

// What held the operands of dispatches that compute nothing is gone with its views.
// CHECK-LABEL: func.func @views_of_nothing
// CHECK-NEXT: func.return
func.func @views_of_nothing(%x: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) {
  %a = rt.alloc : !rt.buffer<f32, #nn.shape<2, 0>, #nn.shape<0, 1>>
  %v = rt.view %a {offset = #nn.shape<0>} : !rt.buffer<f32, #nn.shape<2, 0>, #nn.shape<0, 1>> -> !rt.buffer<f32, #nn.shape<0>, #nn.shape<1>>
  %w = rt.view %v {offset = #nn.shape<0>} : !rt.buffer<f32, #nn.shape<0>, #nn.shape<1>> -> !rt.buffer<f32, #nn.shape<0, 3>, #nn.shape<3, 1>>
  func.return
}
