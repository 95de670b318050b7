// RUN: nnc-opt %s -p plan-arena | filecheck %s

// Positions: the loop begins at 1 and ends at 5; what it allocates itself lives only
// between the launches that use it, what it takes from outside lives until it ends.
// CHECK: rt.alloc {first = 0 : i64, last = 5 : i64, offset = 0 : i64}
// CHECK: rt.loop
// CHECK: rt.alloc {first = 2 : i64, last = 3 : i64, offset = 64 : i64}
// CHECK: rt.alloc {first = 4 : i64, last = 4 : i64, offset = 64 : i64}
func.func @main(%x: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>, %n: !rt.buffer<i64, #nn.shape<>, #nn.shape<>>, %y: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>> {rt.output}) {
  %a = rt.alloc : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
  rt.launch @copy(%x, %a) {dims = #nn.shape<>, tasks = #nn.shape<1>} : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>, !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
  rt.loop "loop$0" ended "loop$0.n" count(%n : !rt.buffer<i64, #nn.shape<>, #nn.shape<>>) {
    %b = rt.alloc : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
    rt.launch @copy(%a, %b) {dims = #nn.shape<>, tasks = #nn.shape<1>} : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>, !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
    rt.launch @copy(%b, %y) {dims = #nn.shape<>, tasks = #nn.shape<1>} : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>, !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
    %c = rt.alloc : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
    rt.launch @copy(%y, %c) {dims = #nn.shape<>, tasks = #nn.shape<1>} : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>, !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
    rt.end
  }
  func.return
}
