// RUN: nnc-opt %s -p convert-rt-to-llvm | filecheck %s

// The plan is data of the module: expressions are kept once and numbered. The views of
// %a start 4 * 64 bytes on; dims and task counts are slots of their own.
// CHECK: builtin.module attributes {rt.plan = "{\22format\22:1,\22exprs\22:[{{.*}}\22256\22
// CHECK-SAME: {\22base\22:\22arena\22,\22index\22:0,\22expr\22:
// CHECK-SAME: \22schedule\22:\22rows\22,\22node\22:\22norm\22

// CHECK: llvm.func @copy
llvm.func @copy(%slots: !llvm.ptr, %begin: i64, %end: i64) {
  llvm.return
}

// Nothing is launched after a cancellation (word 0) or an error (word 1); else the
// launch's number goes to word 4.
// CHECK: llvm.func internal @nnc_next_launch(%[[STATE:.*]]: !llvm.ptr, %[[TABLE:.*]]: !llvm.ptr, %[[BEGIN:.*]]: i64, %[[INDEX:.*]]: i64) -> i64 {
// CHECK: llvm.getelementptr %[[STATE]][0]
// CHECK: llvm.getelementptr %[[STATE]][1]
// CHECK: llvm.cond_br %{{.*}}, ^[[STOP:.*]], ^[[GO:.*]]
// CHECK: ^[[GO]]:
// CHECK: %[[WORD:.*]] = llvm.getelementptr %[[STATE]][4]
// CHECK-NEXT: llvm.store %[[INDEX]], %[[WORD]]
// CHECK: ^[[STOP]]:

// The first launch has four words: tasks, state, and two buffers. The second one's
// begin at 4, its slots at 5.
// CHECK: llvm.func @nnc_run(%[[S:.*]]: !llvm.ptr, %[[T:.*]]: !llvm.ptr) {
// CHECK: %[[ZERO:.*]] = llvm.mlir.constant(0) : i64
// CHECK: %[[N0:.*]] = llvm.call @nnc_next_launch(%[[S]], %[[T]], %{{.*}}, %{{.*}})
// CHECK-NEXT: %[[P0:.*]] = llvm.getelementptr %[[T]][1]
// CHECK-NEXT: llvm.call @copy(%[[P0]], %[[ZERO]], %[[N0]])
// CHECK: %[[FOUR:.*]] = llvm.mlir.constant(4) : i64
// CHECK-NEXT: %[[ONE:.*]] = llvm.mlir.constant(1) : i64
// CHECK-NEXT: %[[N1:.*]] = llvm.call @nnc_next_launch(%[[S]], %[[T]], %[[FOUR]], %[[ONE]])
// CHECK-NEXT: %[[P1:.*]] = llvm.getelementptr %[[T]][5]
// CHECK-NEXT: llvm.call @copy(%[[P1]], %[[ZERO]], %[[N1]])
// CHECK-NEXT: llvm.return
// CHECK-NOT: rt.
func.func @main(%x: !rt.buffer<f32, #nn.shape<N, 64>, #nn.shape<64, 1>> {nn.name = "x"}, %y: !rt.buffer<f32, #nn.shape<N>, #nn.shape<1>> {nn.name = "y", rt.output}) {
  %a = rt.alloc {first = 0, last = 1} : !rt.buffer<f32, #nn.shape<N, 64>, #nn.shape<64, 1>>
  rt.launch @copy(%x, %a) {dims = #nn.shape<>, tasks = #nn.shape<N>} : !rt.buffer<f32, #nn.shape<N, 64>, #nn.shape<64, 1>>, !rt.buffer<f32, #nn.shape<N, 64>, #nn.shape<64, 1>>
  %v = rt.view %a {offset = #nn.shape<64>} : !rt.buffer<f32, #nn.shape<N, 64>, #nn.shape<64, 1>> -> !rt.buffer<f32, #nn.shape<N - 1>, #nn.shape<64>>
  rt.launch @copy(%v, %y) {dims = #nn.shape<N - 1>, tasks = #nn.shape<1>, schedule = "rows", loc_name = "norm"} : !rt.buffer<f32, #nn.shape<N - 1>, #nn.shape<64>>, !rt.buffer<f32, #nn.shape<N>, #nn.shape<1>>
  func.return
}
