// RUN: nnc-opt %s | nnc-opt | filecheck %s

func.func @main(%x: tensor<4xi64>, %c: tensor<2xi64>, %s: !nn.value<"sequence<tensor<float32[*]>>">) -> tensor<?xf32, #nn.shape<m>> {
  // CHECK: nn.define_dims %c {symbols = #nn.shape<n, m>, what = "the counts"} : tensor<2xi64>
  nn.define_dims %c {symbols = #nn.shape<n, m>, what = "the counts"} : tensor<2xi64>
  // CHECK-NEXT: %l = nn.host %s, %x {domain = "", op_type = "SequenceInsert", version = 11 : i64, inputs = array<i64: 0, 1>, attributes = "{}"} : (!nn.value<"sequence<tensor<float32[*]>>">, tensor<4xi64>) -> !nn.value<"">
  %l = nn.host %s, %x {domain = "", op_type = "SequenceInsert", version = 11, inputs = array<i64: 0, 1>, attributes = "{}"} : (!nn.value<"sequence<tensor<float32[*]>>">, tensor<4xi64>) -> !nn.value<"">
  // CHECK-NEXT: %y = nn.run_stage %x {stage = @stage0, sizes = #nn.shape<m>} : (tensor<4xi64>) -> tensor<?xf32, #nn.shape<m>>
  %y = nn.run_stage %x {stage = @stage0, sizes = #nn.shape<m>} : (tensor<4xi64>) -> tensor<?xf32, #nn.shape<m>>
  func.return %y : tensor<?xf32, #nn.shape<m>>
}
