// RUN: nnc-opt %s -p bufferize --split-input-file | filecheck %s

// A result goes straight into the caller's array.
// CHECK-LABEL: func.func @main(%x: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>> {nn.name = "x"}, %{{.*}}: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>> {nn.name = "y", rt.output})
// CHECK-NEXT: rt.dispatch ins(%x : {{.*}}) outs(%[[Y:.*]] : {{.*}}) attributes {loc_name = "relu"} {
// CHECK-NEXT: ^bb0(%{{.*}}: tensor<4xf32>):
// CHECK-NOT: rt.alloc
// CHECK: func.return{{$}}
func.func @main(%x: tensor<4xf32> {nn.name = "x"}) -> (tensor<4xf32> {nn.name = "y"}) {
  %0 = nn.dispatch(%x) {loc_name = "relu"} : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<4xf32>):
    %1 = nn.abs %a : (tensor<4xf32>) -> tensor<4xf32>
    nn.yield %1 : tensor<4xf32>
  }
  func.return %0 : tensor<4xf32>
}

// -----

// Through a transpose too: the dispatch writes columns.
// CHECK-LABEL: func.func @main
// CHECK: %[[V:.*]] = rt.view %[[Y:.*]] {offset = #nn.shape<0>} : !rt.buffer<f32, #nn.shape<N, 2>, #nn.shape<2, 1>> -> !rt.buffer<f32, #nn.shape<2, N>, #nn.shape<1, 2>>
// CHECK-NEXT: rt.dispatch ins(%x : {{.*}}) outs(%[[V]] : {{.*}}) {
// CHECK-NOT: rt.dispatch
func.func @main(%x: tensor<2x?xf32, #nn.shape<2, N>>) -> tensor<?x2xf32, #nn.shape<N, 2>> {
  %0 = nn.dispatch(%x) : (tensor<2x?xf32, #nn.shape<2, N>>) -> tensor<2x?xf32, #nn.shape<2, N>> {
  ^bb0(%a: tensor<2x?xf32, #nn.shape<2, N>>):
    %1 = nn.abs %a : (tensor<2x?xf32, #nn.shape<2, N>>) -> tensor<2x?xf32, #nn.shape<2, N>>
    nn.yield %1 : tensor<2x?xf32, #nn.shape<2, N>>
  }
  %2 = nn.transpose %0 {permutation = array<i64: 1, 0>} : (tensor<2x?xf32, #nn.shape<2, N>>) -> tensor<?x2xf32, #nn.shape<N, 2>>
  func.return %2 : tensor<?x2xf32, #nn.shape<N, 2>>
}

// -----

// The vectors of a product would be scattered: it is copied instead.
// CHECK-LABEL: func.func @main
// CHECK: %[[B:.*]] = rt.alloc : !rt.buffer<f32, #nn.shape<5, 8>, #nn.shape<8, 1>>
// CHECK-NEXT: rt.dispatch ins(%x, %w : {{.*}}) outs(%[[B]] : {{.*}}) {
// CHECK: nn.matmul
// CHECK: rt.view %[[B]] {{.*}} -> !rt.buffer<f32, #nn.shape<8, 5>, #nn.shape<1, 8>>
// CHECK-NEXT: rt.dispatch
func.func @main(%x: tensor<5x4xf32>, %w: tensor<4x8xf32>) -> tensor<8x5xf32> {
  %0 = nn.dispatch(%x, %w) : (tensor<5x4xf32>, tensor<4x8xf32>) -> tensor<5x8xf32> {
  ^bb0(%a: tensor<5x4xf32>, %b: tensor<4x8xf32>):
    %1 = nn.matmul %a, %b : (tensor<5x4xf32>, tensor<4x8xf32>) -> tensor<5x8xf32>
    nn.yield %1 : tensor<5x8xf32>
  }
  %2 = nn.transpose %0 {permutation = array<i64: 1, 0>} : (tensor<5x8xf32>) -> tensor<8x5xf32>
  func.return %2 : tensor<8x5xf32>
}

// -----

// Few columns are stored one by one.
// CHECK-LABEL: func.func @main
// CHECK: %[[V:.*]] = rt.view %{{.*}} {{.*}} -> !rt.buffer<f32, #nn.shape<5, 7>, #nn.shape<1, 5>>
// CHECK-NEXT: rt.dispatch ins(%x, %w : {{.*}}) outs(%[[V]] : {{.*}}) {
// CHECK-NOT: rt.dispatch
func.func @main(%x: tensor<5x4xf32>, %w: tensor<4x7xf32>) -> tensor<7x5xf32> {
  %0 = nn.dispatch(%x, %w) : (tensor<5x4xf32>, tensor<4x7xf32>) -> tensor<5x7xf32> {
  ^bb0(%a: tensor<5x4xf32>, %b: tensor<4x7xf32>):
    %1 = nn.matmul %a, %b : (tensor<5x4xf32>, tensor<4x7xf32>) -> tensor<5x7xf32>
    nn.yield %1 : tensor<5x7xf32>
  }
  %2 = nn.transpose %0 {permutation = array<i64: 1, 0>} : (tensor<5x7xf32>) -> tensor<7x5xf32>
  func.return %2 : tensor<7x5xf32>
}

// -----

// An input that is an output is copied; a value that is returned twice is stored twice.
// CHECK-LABEL: func.func @main
// CHECK: rt.dispatch ins(%x : {{.*}}) outs(%[[B:[0-9]+]], %[[C:[0-9]+]] : {{.*}}) {
// CHECK: %[[V:.*]] = nn.abs
// CHECK-NEXT: nn.yield %[[V]], %[[V]]
// CHECK: rt.dispatch ins(%x : {{.*}}) outs(%{{[0-9]+}} : {{.*}}) {
// CHECK-NEXT: ^bb0(%[[I:.*]]: tensor<4xf32>):
// CHECK-NEXT: nn.yield %[[I]]
// CHECK-NOT: rt.dispatch
// CHECK: func.return
func.func @main(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>, tensor<4xf32>) {
  %0 = nn.dispatch(%x) : (tensor<4xf32>) -> tensor<4xf32> {
  ^bb0(%a: tensor<4xf32>):
    %1 = nn.abs %a : (tensor<4xf32>) -> tensor<4xf32>
    nn.yield %1 : tensor<4xf32>
  }
  func.return %x, %0, %0 : tensor<4xf32>, tensor<4xf32>, tensor<4xf32>
}

// -----

// Constants become buffers where they are first read; sizes are written by a dispatch.
// CHECK-LABEL: func.func @main
// CHECK: %[[C:.*]] = rt.constant dense<[1.0, 2.0]> : tensor<2xf32>
// CHECK-NEXT: %[[W:.*]] = rt.weight {resource = "w"} : !rt.buffer<f32, #nn.shape<2>, #nn.shape<1>>
// CHECK-NEXT: rt.dispatch ins(%[[C]], %[[W]] : {{.*}})
// CHECK: rt.dispatch ins() outs(%{{.*}} : !rt.buffer<i64, #nn.shape<1>, #nn.shape<1>>) {
// CHECK-NEXT: %[[D:.*]] = nn.dims <N>
// CHECK-NEXT: nn.yield %[[D]]
func.func @main(%x: tensor<?xf32, #nn.shape<N>>) -> (tensor<2xf32>, tensor<1xi64>) {
  %c = nn.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %w = nn.weight "w" : tensor<2xf32>
  %0 = nn.dispatch(%c, %w) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32> {
  ^bb0(%a: tensor<2xf32>, %b: tensor<2xf32>):
    %1 = nn.add %a, %b : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    nn.yield %1 : tensor<2xf32>
  }
  %d = nn.dims <N> : tensor<1xi64>
  func.return %0, %d : tensor<2xf32>, tensor<1xi64>
}
