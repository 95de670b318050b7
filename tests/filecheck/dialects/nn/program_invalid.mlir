// RUN: nnc-opt %s --split-input-file --verify-diagnostics | filecheck %s

func.func @too_few_symbols(%c: tensor<2xi64>) {
  // CHECK: nn.define_dims: 1 symbols need tensor<1xi64>, got tensor<2xi64>
  nn.define_dims %c {symbols = #nn.shape<n>, what = "counts"} : tensor<2xi64>
  func.return
}

// -----

func.func @no_symbol(%c: tensor<2xi64>) {
  // CHECK: nn.define_dims: different names, got #nn.shape<n, n + 1>
  nn.define_dims %c {symbols = #nn.shape<n, n + 1>, what = "counts"} : tensor<2xi64>
  func.return
}

// -----

func.func @no_such_operand(%x: tensor<4xf32>) {
  // CHECK: nn.host: there is no operand 1
  %s = nn.host %x {domain = "", op_type = "SequenceConstruct", version = 11, inputs = array<i64: 0, 1>, attributes = "{}"} : (tensor<4xf32>) -> !nn.value<"">
  func.return
}

// -----

func.func @neither_tensor_nor_value(%x: i64) {
  // CHECK: nn.host: tensors and !nn.value, not i64
  %s = nn.host %x {domain = "", op_type = "SequenceConstruct", version = 11, inputs = array<i64: 0>, attributes = "{}"} : (i64) -> !nn.value<"">
  func.return
}
