// RUN: nnc-opt %s -p 'set-tiles{tiles="0:6x4:rows","2:1x3"}' | filecheck %s
// RUN: nnc-opt %s -p 'set-tiles{tiles="0:6x4:rows","2:1x3"},set-tiles{tiles="0:6x4:rows","2:1x3"}' | filecheck %s
// RUN: nnc-opt %s -p 'set-tiles{all="14x2"}' | filecheck %s --check-prefix=ALL
// RUN: nnc-opt %s -p 'set-tiles' | filecheck %s --check-prefix=NONE
// RUN: nnc-opt %s -p 'set-tiles{all="6x4"},pack-weights{target=avx512}' | filecheck %s --check-prefix=PACKED

// NONE-NOT: #nn.tile

// CHECK-LABEL: func.func @contractions_are_numbered
// ALL-LABEL:   func.func @contractions_are_numbered
// PACKED-LABEL: func.func @contractions_are_numbered
func.func @contractions_are_numbered(%x: tensor<40x8xf32>, %i: tensor<40x8xi32>) -> (tensor<40x70xf32>, tensor<40x8xf32>, tensor<40x8xi32>, tensor<40x70xf32>) {
  %w = nn.weight "w" : tensor<8x70xf32>
  %j = nn.weight "j" : tensor<8x8xi32>
  // CHECK: nn.dispatch(%x, %w) {tile = #nn.tile<6 x 4, rows>}
  // ALL:   nn.dispatch(%x, %w) {tile = #nn.tile<14 x 2>}
  // PACKED: nn.pack %w {panel = 64 : i64, groups = 1 : i64}
  %0 = nn.dispatch(%x, %w) : (tensor<40x8xf32>, tensor<8x70xf32>) -> tensor<40x70xf32> {
  ^bb0(%a: tensor<40x8xf32>, %b: tensor<8x70xf32>):
    %1 = nn.matmul %a, %b : (tensor<40x8xf32>, tensor<8x70xf32>) -> tensor<40x70xf32>
    nn.yield %1 : tensor<40x70xf32>
  }
  // What is no contraction has neither number nor tile.
  // CHECK: nn.dispatch(%x) :
  // ALL:   nn.dispatch(%x) :
  %2 = nn.dispatch(%x) : (tensor<40x8xf32>) -> tensor<40x8xf32> {
  ^bb0(%a: tensor<40x8xf32>):
    %3 = nn.relu %a : (tensor<40x8xf32>) -> tensor<40x8xf32>
    nn.yield %3 : tensor<40x8xf32>
  }
  // Products of integers are numbered, but have no tiles.
  // CHECK: nn.dispatch(%i, %j) :
  // ALL:   nn.dispatch(%i, %j) :
  %4 = nn.dispatch(%i, %j) : (tensor<40x8xi32>, tensor<8x8xi32>) -> tensor<40x8xi32> {
  ^bb0(%a: tensor<40x8xi32>, %b: tensor<8x8xi32>):
    %5 = nn.matmul %a, %b : (tensor<40x8xi32>, tensor<8x8xi32>) -> tensor<40x8xi32>
    nn.yield %5 : tensor<40x8xi32>
  }
  // CHECK: nn.dispatch(%{{.*}}, %w) {tile = #nn.tile<1 x 3>}
  // ALL:   nn.dispatch(%{{.*}}, %w) {tile = #nn.tile<14 x 2>}
  %6 = nn.dispatch(%2, %w) : (tensor<40x8xf32>, tensor<8x70xf32>) -> tensor<40x70xf32> {
  ^bb0(%a: tensor<40x8xf32>, %b: tensor<8x70xf32>):
    %7 = nn.matmul %a, %b : (tensor<40x8xf32>, tensor<8x70xf32>) -> tensor<40x70xf32>
    nn.yield %7 : tensor<40x70xf32>
  }
  func.return %0, %2, %4, %6 : tensor<40x70xf32>, tensor<40x8xf32>, tensor<40x8xi32>, tensor<40x70xf32>
}
