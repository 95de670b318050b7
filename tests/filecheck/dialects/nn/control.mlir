// RUN: nnc-opt %s | nnc-opt | filecheck %s

func.func @branch(%c: tensor<i1>, %x: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK: %r = nn.if %c(%x) : (tensor<4xf32>) -> tensor<4xf32> {
  %r = nn.if %c(%x) : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<4xf32>):
    %0 = nn.exp %a : (tensor<4xf32>) -> tensor<4xf32>
    nn.yield %0 : tensor<4xf32>
  // CHECK: } else {
  } else {
  ^bb0(%a: tensor<4xf32>):
    nn.yield %a : tensor<4xf32>
  }
  func.return %r : tensor<4xf32>
}

func.func @sums(%zero: tensor<f32>, %x: tensor<?xf32, #nn.shape<T>>) -> tensor<?xf32, #nn.shape<T>> {
  // CHECK: nn.loop trips <T> carry(%zero : tensor<f32>) scan(%x : tensor<?xf32, #nn.shape<T>>) capture() -> tensor<f32>, tensor<?xf32, #nn.shape<T>> {
  %total, %sums = nn.loop trips <T> carry(%zero : tensor<f32>) scan(%x : tensor<?xf32, #nn.shape<T>>) capture() -> tensor<f32>, tensor<?xf32, #nn.shape<T>> {
  ^bb0(%i: tensor<i64>, %sum: tensor<f32>, %element: tensor<f32>):
    %0 = nn.add %sum, %element : (tensor<f32>, tensor<f32>) -> tensor<f32>
    nn.yield %0, %0 : tensor<f32>, tensor<f32>
  }
  func.return %sums : tensor<?xf32, #nn.shape<T>>
}

func.func @until(%n: tensor<i64>, %c: tensor<i1>, %x: tensor<4xf32>, %y: tensor<4xf32>) -> tensor<4xf32> {
  // CHECK: nn.loop count(%n) while(%c) carry(%x : tensor<4xf32>) scan() capture(%y : tensor<4xf32>) -> tensor<4xf32> attributes {loc_name = "l"} {
  %r = nn.loop count(%n) while(%c) carry(%x : tensor<4xf32>) scan() capture(%y : tensor<4xf32>) -> tensor<4xf32> attributes {loc_name = "l"} {
  ^bb0(%i: tensor<i64>, %v: tensor<4xf32>, %w: tensor<4xf32>):
    %more = nn.constant dense<true> : tensor<i1>
    %0 = nn.add %v, %w : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    nn.yield %more, %0 : tensor<i1>, tensor<4xf32>
  }
  func.return %r : tensor<4xf32>
}
