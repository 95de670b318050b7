// RUN: nnc-opt %s --split-input-file --verify-diagnostics | filecheck %s

func.func @strides_count() {
  // CHECK: rt.buffer: 2 dims need as many strides, got 1
  %a = rt.alloc : !rt.buffer<f32, #nn.shape<2, 3>, #nn.shape<1>>
  func.return
}

// -----

func.func @lifetime_half() {
  // CHECK: rt.alloc: first and last go together
  %a = rt.alloc {first = 1} : !rt.buffer<f32, #nn.shape<2>, #nn.shape<1>>
  func.return
}

// -----

func.func @lifetime_backwards() {
  // CHECK: rt.alloc: lifetime 3 to 1
  %a = rt.alloc {first = 3, last = 1} : !rt.buffer<f32, #nn.shape<2>, #nn.shape<1>>
  func.return
}

// -----

func.func @offset_negative() {
  // CHECK: rt.alloc: negative offset -64
  %a = rt.alloc {offset = -64} : !rt.buffer<f32, #nn.shape<2>, #nn.shape<1>>
  func.return
}

// -----

func.func @weight_symbolic() {
  // CHECK: rt.weight: constants have static shapes, got !rt.buffer<f32, #nn.shape<N>, #nn.shape<1>>
  %a = rt.weight {resource = "w"} : !rt.buffer<f32, #nn.shape<N>, #nn.shape<1>>
  func.return
}

// -----

func.func @weight_strided() {
  // CHECK: rt.weight: constants are contiguous, got !rt.buffer<f32, #nn.shape<4>, #nn.shape<2>>
  %a = rt.weight {resource = "w"} : !rt.buffer<f32, #nn.shape<4>, #nn.shape<2>>
  func.return
}

// -----

func.func @constant_type() {
  // CHECK: rt.constant: a value of type tensor<2xf32> is no !rt.buffer<f32, #nn.shape<3>, #nn.shape<1>>
  %a = "rt.constant"() <{value = dense<0.0> : tensor<2xf32>}> : () -> !rt.buffer<f32, #nn.shape<3>, #nn.shape<1>>
  func.return
}

// -----

func.func @constant_vector() {
  // CHECK: rt.constant: the value must be a tensor
  %a = "rt.constant"() <{value = dense<0.0> : vector<2xf32>}> : () -> !rt.buffer<f32, #nn.shape<2>, #nn.shape<1>>
  func.return
}

// -----

func.func @view_element_type(%b: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) {
  // CHECK: rt.view: f32 seen as i32
  %v = rt.view %b {offset = #nn.shape<0>} : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>> -> !rt.buffer<i32, #nn.shape<4>, #nn.shape<1>>
  func.return
}

// -----

func.func @view_offsets(%b: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) {
  // CHECK: rt.view: one offset expected, got 2
  %v = rt.view %b {offset = #nn.shape<0, 1>} : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>> -> !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
  func.return
}

// -----

func.func @dispatch_input(%b: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) {
  // CHECK: rt.dispatch: input !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>> cannot hold tensor<3xf32>
  rt.dispatch ins(%b : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) outs() {
  ^bb0(%a: tensor<3xf32>):
    "nn.yield"() : () -> ()
  }
  func.return
}

// -----

func.func @dispatch_output(%b: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) {
  // CHECK: rt.dispatch: 1 outputs for 0 tensors
  rt.dispatch ins() outs(%b : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) {
    "nn.yield"() : () -> ()
  }
  func.return
}

// -----

func.func @dispatch_terminator() {
  // CHECK: rt.dispatch: the body must end in nn.yield
  rt.dispatch ins() outs() {
    "test.termop"() : () -> ()
  }
  func.return
}

// -----

func.func @launch_tasks(%b: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) {
  // CHECK: rt.launch: one task count expected, got 0
  rt.launch @k(%b) {dims = #nn.shape<>, tasks = #nn.shape<>} : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
  func.return
}

// -----

func.func @launch_work(%b: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) {
  // CHECK: rt.launch: work has 3 parts (operations, bytes read, bytes written), got 1
  rt.launch @k(%b) {dims = #nn.shape<>, tasks = #nn.shape<1>, work = #nn.shape<4>} : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
  func.return
}

// -----

func.func @assert_counts() {
  // CHECK: rt.assert_equal: 1 dims against 2
  rt.assert_equal {lhs = #nn.shape<A>, rhs = #nn.shape<B, C>}
  func.return
}

// -----

func.func @yield_outside() {
  // CHECK: nn.yield: only dispatches, branches and loops end in it
  "nn.yield"() : () -> ()
}

// -----

func.func @if_condition(%b: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>) {
  // CHECK: rt.if: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>> should hold one i1
  rt.if %b : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>> {
    rt.end
  } else {
    rt.end
  }
  func.return
}

// -----

func.func @loop_without_end() {
  // CHECK: rt.loop: nothing ends the loop
  rt.loop "i" ended "n" {
    rt.end
  }
  func.return
}

// -----

func.func @loop_without_next(%c: !rt.buffer<i1, #nn.shape<>, #nn.shape<>>) {
  // CHECK: rt.loop: while and next go together
  rt.loop "i" ended "n" while(%c : !rt.buffer<i1, #nn.shape<>, #nn.shape<>>) {
    rt.end
  }
  func.return
}

// -----

func.func @loop_bounds(%c: !rt.buffer<i64, #nn.shape<>, #nn.shape<>>) {
  // CHECK: rt.loop: trips and count exclude each other
  rt.loop "i" ended "n" trips <T> count(%c : !rt.buffer<i64, #nn.shape<>, #nn.shape<>>) {
    rt.end
  }
  func.return
}
