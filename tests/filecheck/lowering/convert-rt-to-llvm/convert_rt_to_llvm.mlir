// RUN: nnc-opt %s -p convert-rt-to-llvm | filecheck %s

// The plan is data of the module: expressions are kept once and numbered. The views of
// %a start 4 * 64 bytes on; dims and task counts are slots of their own.
// CHECK: builtin.module attributes {rt.plan = "{\22format\22:2,\22exprs\22:[{{.*}}\22256\22
// CHECK-SAME: {\22base\22:\22arena\22,\22index\22:0,\22expr\22:
// CHECK-SAME: \22schedule\22:\22rows\22,\22node\22:\22norm\22

// CHECK: llvm.func @copy
llvm.func @copy(%slots: !llvm.ptr, %begin: i64, %end: i64) {
  llvm.return
}

// If word 6 holds the address of a log, number and time are added to it. The log is
// count, capacity, and then three words an entry.
// CHECK: llvm.func @clock_gettime(i32, !llvm.ptr) -> i32
// CHECK: llvm.func internal @nnc_stamp(%[[STATE:.*]]: !llvm.ptr, %[[NUMBER:.*]]: i64) {
// CHECK: llvm.getelementptr %[[STATE]][6]
// CHECK: llvm.cond_br %{{.*}}, ^[[ADD:.*]], ^[[DONE:.*]]
// CHECK: ^[[ADD]]:
// CHECK: %[[COUNT:.*]] = llvm.load
// CHECK: %[[ROOM:.*]] = llvm.load
// CHECK: llvm.icmp "slt" %[[COUNT]], %[[ROOM]]
// CHECK-NEXT: llvm.cond_br %{{.*}}, ^[[WRITE:.*]], ^[[DONE]]
// CHECK: ^[[WRITE]]:
// CHECK: llvm.store %[[NUMBER]]
// CHECK: llvm.call @clock_gettime
// CHECK: ^[[DONE]]:

// Nothing is launched after a cancellation (word 0) or an error (word 1); else the
// launch's number goes to word 4. The record begins with tasks and ways; more than one
// way goes through the function in word 5, if there is one.
// CHECK: llvm.func internal @nnc_launch(%[[STATE:.*]]: !llvm.ptr, %[[TABLE:.*]]: !llvm.ptr, %[[BEGIN:.*]]: i64, %[[INDEX:.*]]: i64, %[[KERNEL:.*]]: !llvm.ptr) {
// CHECK: llvm.getelementptr %[[STATE]][0]
// CHECK: llvm.getelementptr %[[STATE]][1]
// CHECK: llvm.cond_br %{{.*}}, ^[[STOP:.*]], ^[[GO:.*]]
// CHECK: ^[[GO]]:
// CHECK: %[[WORD:.*]] = llvm.getelementptr %[[STATE]][4]
// CHECK-NEXT: llvm.store %[[INDEX]], %[[WORD]]
// CHECK-NEXT: llvm.call @nnc_stamp(%[[STATE]], %[[INDEX]])
// CHECK: %[[TASKS:.*]] = llvm.load
// CHECK: %[[WAYS:.*]] = llvm.load
// CHECK-NEXT: %[[SLOTS:.*]] = llvm.getelementptr %{{.*}}[2]
// CHECK: llvm.icmp "ugt" %[[WAYS]]
// CHECK-NEXT: llvm.cond_br %{{.*}}, ^[[ASK:.*]], ^[[ALONE:.*]]
// CHECK: ^[[ASK]]:
// CHECK: llvm.getelementptr %[[STATE]][5]
// CHECK-NEXT: %[[PARALLEL:.*]] = llvm.load
// CHECK: llvm.cond_br %{{.*}}, ^{{.*}}, ^[[ALONE]]
// CHECK: llvm.call %[[PARALLEL]](%[[KERNEL]], %[[SLOTS]], %[[TASKS]], %[[WAYS]])
// CHECK: ^[[ALONE]]:
// CHECK: llvm.call %[[KERNEL]](%[[SLOTS]], %{{.*}}, %[[TASKS]])
// CHECK: ^[[STOP]]:

// The first launch has five words: tasks, ways, state, and two buffers.
// CHECK: llvm.func @nnc_run(%[[S:.*]]: !llvm.ptr, %[[T:.*]]: !llvm.ptr) {
// CHECK: %[[OLD:.*]] = llvmx.enter_float_state
// CHECK-NEXT: %[[ZERO:.*]] = llvm.mlir.constant(0) : i64
// CHECK-NEXT: %[[FIRST:.*]] = llvm.mlir.constant(0) : i64
// CHECK-NEXT: %[[K0:.*]] = llvm.mlir.addressof @copy
// CHECK-NEXT: llvm.call @nnc_launch(%[[S]], %[[T]], %[[ZERO]], %[[FIRST]], %[[K0]])
// CHECK-NEXT: %[[FIVE:.*]] = llvm.mlir.constant(5) : i64
// CHECK-NEXT: %[[ONE:.*]] = llvm.mlir.constant(1) : i64
// CHECK-NEXT: %[[K1:.*]] = llvm.mlir.addressof @copy
// CHECK-NEXT: llvm.call @nnc_launch(%[[S]], %[[T]], %[[FIVE]], %[[ONE]], %[[K1]])
// CHECK-NEXT: %[[END:.*]] = llvm.mlir.constant(-1) : i64
// CHECK-NEXT: llvm.call @nnc_stamp(%[[S]], %[[END]])
// CHECK-NEXT: llvmx.restore_float_state %[[OLD]]
// CHECK-NEXT: llvm.return
// CHECK-NOT: rt.
func.func @main(%x: !rt.buffer<f32, #nn.shape<N, 64>, #nn.shape<64, 1>> {nn.name = "x"}, %y: !rt.buffer<f32, #nn.shape<N>, #nn.shape<1>> {nn.name = "y", rt.output}) {
  %a = rt.alloc {first = 0, last = 1} : !rt.buffer<f32, #nn.shape<N, 64>, #nn.shape<64, 1>>
  rt.launch @copy(%x, %a) {dims = #nn.shape<>, tasks = #nn.shape<N>} : !rt.buffer<f32, #nn.shape<N, 64>, #nn.shape<64, 1>>, !rt.buffer<f32, #nn.shape<N, 64>, #nn.shape<64, 1>>
  %v = rt.view %a {offset = #nn.shape<64>} : !rt.buffer<f32, #nn.shape<N, 64>, #nn.shape<64, 1>> -> !rt.buffer<f32, #nn.shape<N - 1>, #nn.shape<64>>
  rt.launch @copy(%v, %y) {dims = #nn.shape<N - 1>, tasks = #nn.shape<1>, schedule = "rows", loc_name = "norm"} : !rt.buffer<f32, #nn.shape<N - 1>, #nn.shape<64>>, !rt.buffer<f32, #nn.shape<N>, #nn.shape<1>>
  func.return
}
