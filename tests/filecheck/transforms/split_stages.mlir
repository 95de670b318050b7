// RUN: nnc-opt %s --split-input-file -p split-stages | filecheck %s

// A size from data: the kernel before it and the view behind it are two stages.

// CHECK-LABEL: builtin.module @stage0
// CHECK:         nn.compact %x
// CHECK-NEXT:    func.return %c, %i : tensor<1xi64>, tensor<4xi64>
// CHECK:       builtin.module @stage1
// CHECK-NEXT:    func.func @main(%i: tensor<4xi64> {nn.name = "compact#0"}, %{{.*}}: tensor<1xi64> {nn.name = "sizes", nn.symbols = #nn.shape<n>})
// CHECK-NEXT:      nn.slice %i
// CHECK:       func.func @main(%x: tensor<4xi1>) -> tensor<?xi64, #nn.shape<n>> {
// CHECK-NEXT:    %c, %i = nn.run_stage %x {stage = @stage0, sizes = #nn.shape<>}
// CHECK-NEXT:    nn.define_dims %c {symbols = #nn.shape<n>, what = "count"} : tensor<1xi64>
// CHECK-NEXT:    %r = nn.run_stage %i {stage = @stage1, sizes = #nn.shape<n>}
// CHECK-NEXT:    func.return %r
func.func @main(%x: tensor<4xi1>) -> tensor<?xi64, #nn.shape<n>> {
  %i, %c = nn.compact %x {loc_name = "compact"} : (tensor<4xi1>) -> (tensor<4xi64>, tensor<1xi64>)
  nn.define_dims %c {symbols = #nn.shape<n>, what = "count"} : tensor<1xi64>
  %r = nn.slice %i {offsets = #nn.shape<0>, steps = array<i64: 1>} : (tensor<4xi64>) -> tensor<?xi64, #nn.shape<n>>
  func.return %r : tensor<?xi64, #nn.shape<n>>
}

// -----

// What does not wait for a step belongs to the first stage; sizes that are inputs are
// read before it; a symbol that a shape shows is not handed in.

// CHECK-LABEL: builtin.module @stage0
// CHECK-NEXT:    func.func @main(%x: tensor<?xf32, #nn.shape<N>> {nn.name = "arg0"}, %{{.*}}: tensor<1xi64> {nn.name = "sizes", nn.symbols = #nn.shape<k>})
// CHECK-DAG:       nn.exp
// CHECK-DAG:       nn.iota
// CHECK-NOT:   builtin.module @stage1
// CHECK:       func.func @main
// CHECK-NEXT:    nn.define_dims %k
// CHECK-NEXT:    nn.run_stage %x {stage = @stage0, sizes = #nn.shape<k>}
func.func @main(%x: tensor<?xf32, #nn.shape<N>>, %k: tensor<1xi64>) -> (tensor<?xf32, #nn.shape<N>>, tensor<?xi64, #nn.shape<k>>) {
  nn.define_dims %k {symbols = #nn.shape<k>, what = "count"} : tensor<1xi64>
  %y = nn.exp %x : (tensor<?xf32, #nn.shape<N>>) -> tensor<?xf32, #nn.shape<N>>
  %r = nn.iota {axis = 0} : tensor<?xi64, #nn.shape<k>>
  func.return %y, %r : tensor<?xf32, #nn.shape<N>>, tensor<?xi64, #nn.shape<k>>
}

// -----

// Symbols that nothing uses are not read; without steps, nothing is split.

// CHECK-LABEL: func.func @main(%x: tensor<4xf32>, %k: tensor<1xi64>)
// CHECK-NEXT:    nn.run_stage %x
// CHECK-NEXT:    func.return
func.func @main(%x: tensor<4xf32>, %k: tensor<1xi64>) -> tensor<4xf32> {
  nn.define_dims %k {symbols = #nn.shape<k>, what = "count"} : tensor<1xi64>
  %y = nn.exp %x : (tensor<4xf32>) -> tensor<4xf32>
  func.return %y : tensor<4xf32>
}

// -----

// CHECK-NOT: builtin.module @stage0
// CHECK:     func.func @main
// CHECK:       nn.exp
func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {
  %y = nn.exp %x : (tensor<4xf32>) -> tensor<4xf32>
  func.return %y : tensor<4xf32>
}

// -----

// A host step between two stages; the view is in the stage that reads it.

// CHECK-LABEL: builtin.module @stage0
// CHECK:         nn.exp
// CHECK-NOT:     nn.reshape
// CHECK:       builtin.module @stage1
// CHECK-DAG:     nn.reshape
// CHECK-DAG:     nn.neg
// CHECK:       func.func @main
// CHECK-NEXT:    %e = nn.run_stage %x {stage = @stage0
// CHECK-NEXT:    %h = nn.host %e
// CHECK-NEXT:    nn.run_stage %{{[eh]}}, %{{[eh]}} {stage = @stage1
func.func @main(%x: tensor<4xf32>) -> (tensor<2x2xf32>, tensor<f32>) {
  %e = nn.exp %x : (tensor<4xf32>) -> tensor<4xf32>
  %h = nn.host %e {domain = "org", op_type = "Op", version = 1, inputs = array<i64: 0>, attributes = "{}"} : (tensor<4xf32>) -> tensor<f32>
  %n = nn.neg %h : (tensor<f32>) -> tensor<f32>
  %w = nn.broadcast %n : (tensor<f32>) -> tensor<2x2xf32>
  %v = nn.reshape %e : (tensor<4xf32>) -> tensor<2x2xf32>
  %y = nn.add %v, %w : (tensor<2x2xf32>, tensor<2x2xf32>) -> tensor<2x2xf32>
  func.return %y, %n : tensor<2x2xf32>, tensor<f32>
}
