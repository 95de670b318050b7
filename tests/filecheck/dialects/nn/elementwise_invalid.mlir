// RUN: nnc-opt %s --split-input-file --verify-diagnostics | filecheck %s

func.func @result_type(%x: tensor<2x3xf32>) {
  // CHECK: nn.neg: result type tensor<2x4xf32> should be tensor<2x3xf32>
  %0 = nn.neg %x : (tensor<2x3xf32>) -> tensor<2x4xf32>
  func.return
}

// -----

func.func @float_only(%x: tensor<2x3xi32>) {
  // CHECK: nn.exp: the operand must hold floats, got tensor<2x3xi32>
  %0 = nn.exp %x : (tensor<2x3xi32>) -> tensor<2x3xi32>
  func.return
}

// -----

func.func @number_only(%x: tensor<2x3xi1>) {
  // CHECK: nn.add: the operand must hold integers or floats, got tensor<2x3xi1>
  %0 = nn.add %x, %x : (tensor<2x3xi1>, tensor<2x3xi1>) -> tensor<2x3xi1>
  func.return
}

// -----

func.func @logical_only(%x: tensor<2x3xf32>) {
  // CHECK: nn.not: the operand must hold booleans or integers, got tensor<2x3xf32>
  %0 = nn.not %x : (tensor<2x3xf32>) -> tensor<2x3xf32>
  func.return
}

// -----

func.func @integer_only(%x: tensor<2x3xi1>) {
  // CHECK: nn.shift_left: the operand must hold integers, got tensor<2x3xi1>
  %0 = nn.shift_left %x, %x : (tensor<2x3xi1>, tensor<2x3xi1>) -> tensor<2x3xi1>
  func.return
}

// -----

func.func @shapes(%x: tensor<2x3xf32>, %y: tensor<3xf32>) {
  // CHECK: nn.add: operands must have equal shapes, got tensor<2x3xf32> and tensor<3xf32>
  %0 = nn.add %x, %y : (tensor<2x3xf32>, tensor<3xf32>) -> tensor<2x3xf32>
  func.return
}

// -----

func.func @symbolic_shapes(%x: tensor<?xf32, #nn.shape<N>>, %y: tensor<?xf32, #nn.shape<M>>) {
  // CHECK: nn.add: operands must have equal shapes, got tensor<?xf32, #nn.shape<N>> and tensor<?xf32, #nn.shape<M>>
  %0 = nn.add %x, %y : (tensor<?xf32, #nn.shape<N>>, tensor<?xf32, #nn.shape<M>>) -> tensor<?xf32, #nn.shape<N>>
  func.return
}

// -----

func.func @element_types(%x: tensor<2x3xf32>, %y: tensor<2x3xi32>) {
  // CHECK: nn.mul: operands must have one element type, got tensor<2x3xf32> and tensor<2x3xi32>
  %0 = nn.mul %x, %y : (tensor<2x3xf32>, tensor<2x3xi32>) -> tensor<2x3xf32>
  func.return
}

// -----

func.func @predicate(%x: tensor<2x3xf32>) {
  // CHECK: nn.compare: unknown predicate 'equal'
  %0 = nn.compare %x, %x {predicate = "equal"} : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xi1>
  func.return
}

// -----

func.func @condition(%x: tensor<2x3xf32>) {
  // CHECK: nn.select: the condition must be boolean, got tensor<2x3xf32>
  %0 = nn.select %x, %x, %x : (tensor<2x3xf32>, tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
  func.return
}

// -----

func.func @cast_shape(%x: tensor<2x3xf32>) {
  // CHECK: nn.cast: result type tensor<3x2xi8> should be tensor<2x3xi8>
  %0 = nn.cast %x : (tensor<2x3xf32>) -> tensor<3x2xi8>
  func.return
}

// -----

func.func @bit_cast_width(%x: tensor<2xf32>) {
  // CHECK: nn.bit_cast: f32 and i64 are no numbers of equal width
  %0 = nn.bit_cast %x : (tensor<2xf32>) -> tensor<2xi64>
  func.return
}

// -----

func.func @threefry_type(%x: tensor<2xi64>) {
  // CHECK: nn.threefry: u64 elements, got tensor<2xi64>
  %0 = nn.threefry %x, %x : (tensor<2xi64>, tensor<2xi64>) -> tensor<2xi64>
  func.return
}
