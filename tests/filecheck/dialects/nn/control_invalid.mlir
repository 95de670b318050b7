// RUN: nnc-opt %s --split-input-file --verify-diagnostics | filecheck %s

func.func @if_results(%c: tensor<i1>, %x: tensor<4xf32>) {
  // CHECK: nn.if: nn.yield must give (tensor<4xf32>)
  %r = nn.if %c(%x) : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<4xf32>):
    nn.yield %a : tensor<4xf32>
  } else {
  ^bb0(%a: tensor<4xf32>):
    nn.yield %a, %a : tensor<4xf32>, tensor<4xf32>
  }
  func.return
}

// -----

func.func @loop_without_end(%x: tensor<4xf32>) {
  // CHECK: nn.loop: nothing ends the loop
  %r = nn.loop carry(%x : tensor<4xf32>) scan() capture() -> tensor<4xf32> {
  ^bb0(%i: tensor<i64>, %a: tensor<4xf32>):
    nn.yield %a : tensor<4xf32>
  }
  func.return
}

// -----

func.func @loop_shape_changes(%x: tensor<4xf32>) {
  // CHECK: nn.loop: nn.yield must give (tensor<4xf32>)
  %r = nn.loop trips <3> carry(%x : tensor<4xf32>) scan() capture() -> tensor<4xf32> {
  ^bb0(%i: tensor<i64>, %a: tensor<4xf32>):
    %0 = nn.concat %a, %a {axis = 0 : i64} : (tensor<4xf32>, tensor<4xf32>) -> tensor<8xf32>
    nn.yield %0 : tensor<8xf32>
  }
  func.return
}

// -----

func.func @loop_scans(%x: tensor<4xf32>) {
  // CHECK: nn.loop: the first axis of tensor<4xf32> should be 3
  %r = nn.loop trips <3> carry() scan(%x : tensor<4xf32>) capture() -> tensor<3xf32> {
  ^bb0(%i: tensor<i64>, %a: tensor<f32>):
    nn.yield %a : tensor<f32>
  }
  func.return
}

// -----

func.func @loop_stacks_without_size(%x: tensor<i64>) {
  // CHECK: nn.loop: only a loop that always runs `trips` times has slices
  %r = nn.loop count(%x) carry() scan() capture() -> tensor<3xi64> {
  ^bb0(%i: tensor<i64>):
    nn.yield %i : tensor<i64>
  }
  func.return
}
