// RUN: nnc-opt %s -p 'convert-simd-to-llvm{target=avx2}' | filecheck %s

// A constant row stride becomes constant offsets from one pointer, and loops that run
// once vanish: one block holds the loads of B, then each row.
// CHECK-LABEL: llvm.func @constant_rows(
// CHECK: ^[[K:.*]](%{{.*}}: i64, %[[A:.*]]: !llvm.ptr, %[[B:.*]]: !llvm.ptr, %{{.*}}: vector<8xf32>, %{{.*}}: vector<8xf32>):
// CHECK-NEXT: llvm.load %[[B]] {alignment = 4 : i64} : !llvm.ptr -> vector<8xf32>
// CHECK-NEXT: llvm.load %[[A]] {alignment = 4 : i64} : !llvm.ptr -> f32
// CHECK: llvm.call_intrinsic "llvm.fma.v8f32"
// CHECK-NEXT: %[[ROW:.*]] = llvm.getelementptr inbounds %[[A]][64] : (!llvm.ptr) -> !llvm.ptr, f32
// CHECK-NEXT: llvm.load %[[ROW]] {alignment = 4 : i64} : !llvm.ptr -> f32
// CHECK: llvm.call_intrinsic "llvm.fma.v8f32"
// CHECK-NEXT: llvm.getelementptr inbounds %[[A]][1]
// CHECK-NEXT: llvm.getelementptr inbounds %[[B]][8]
// CHECK: llvm.cond_br %{{.*}}, ^[[K]]
// CHECK-NOT: llvm.cond_br
func.func @constant_rows(%a: !simd.ptr<f32>, %b: !simd.ptr<f32>, %c: !simd.ptr<f32>, %i: index) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %k = arith.constant 9 : index
  %row = arith.constant 64 : index
  %ldb = arith.constant 8 : index
  %0, %1 = simd.contract %a[%i], %b[%i] rows(%row) k(%k) outer(%one, %zero) inner(%one, %zero) b_stride(%ldb) tile(2, 1) {width = 8} : !simd.ptr<f32>, !simd.ptr<f32> -> vector<8xf32>, vector<8xf32>
  simd.store %0, %c[%zero] {width = 8} : vector<8xf32>, !simd.ptr<f32>
  simd.store %1, %c[%ldb] {width = 8} : vector<8xf32>, !simd.ptr<f32>
  func.return
}

// A dynamic stride is scaled by the addressing mode: rows 1, 2 and 4 need no pointer
// of their own.
// CHECK-LABEL: llvm.func @dynamic_rows(
// CHECK: ^{{.*}}(%{{.*}}: i64, %[[A:.*]]: !llvm.ptr, %[[B:[^:]*]]: !llvm.ptr, %{{.*}}: vector<8xf32>
// CHECK: llvm.getelementptr inbounds %[[A]][%[[S:.*]]] : (!llvm.ptr, i64) -> !llvm.ptr, i8
// CHECK: llvm.getelementptr inbounds %[[A]][%[[S]]] : (!llvm.ptr, i64) -> !llvm.ptr, i16
// CHECK: llvm.getelementptr inbounds %[[A]][%{{.*}}] : (!llvm.ptr, i64) -> !llvm.ptr, i8
// CHECK: llvm.getelementptr inbounds %[[A]][%[[S]]] : (!llvm.ptr, i64) -> !llvm.ptr, i32
func.func @dynamic_rows(%a: !simd.ptr<f32>, %b: !simd.ptr<f32>, %row: index, %k: index) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %ldb = arith.constant 8 : index
  %0, %1, %2, %3, %4 = simd.contract %a[%zero], %b[%zero] rows(%row) k(%k) outer(%one, %zero) inner(%one, %zero) b_stride(%ldb) tile(5, 1) {width = 8} : !simd.ptr<f32>, !simd.ptr<f32> -> vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>, vector<8xf32>
  func.return
}

// The mask guards the last column only.
// CHECK-LABEL: llvm.func @tail(
// CHECK: llvm.load %{{.*}} {alignment = 4 : i64} : !llvm.ptr -> vector<8xf32>
// CHECK: llvm.call_intrinsic "llvm.masked.load.v8f32.p0"
// CHECK-NOT: llvm.masked.load
func.func @tail(%a: !simd.ptr<f32>, %b: !simd.ptr<f32>, %n: index, %k: index) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %m = simd.mask %n {width = 8} : vector<8xi1>
  %0, %1 = simd.contract %a[%zero], %b[%zero] rows(%zero) k(%k) outer(%one, %zero) inner(%one, %zero) b_stride(%n) mask(%m : vector<8xi1>) tile(1, 2) {width = 8} : !simd.ptr<f32>, !simd.ptr<f32> -> vector<8xf32>, vector<8xf32>
  func.return
}

// What is prefetched is a stream of its own, which may leave the memory of B.
// CHECK-LABEL: llvm.func @prefetch(
// CHECK: %[[START:.*]] = llvm.getelementptr %[[B:.*]][512] : (!llvm.ptr) -> !llvm.ptr, f32
// CHECK: llvm.br ^[[K:.*]](%{{.*}}, %{{.*}}, %[[B]], %[[START]], %{{.*}} : i64, !llvm.ptr, !llvm.ptr, !llvm.ptr, vector<8xf32>)
// CHECK: ^[[K]](%{{.*}}: i64, %{{.*}}: !llvm.ptr, %{{.*}}: !llvm.ptr, %[[AHEAD:.*]]: !llvm.ptr, %{{.*}}: vector<8xf32>):
// CHECK: llvm.call_intrinsic "llvm.prefetch.p0"(%[[AHEAD]], %{{.*}}, %{{.*}}, %{{.*}}) : (!llvm.ptr, i32, i32, i32) -> ()
// CHECK-NEXT: llvm.getelementptr %[[AHEAD]][2] : (!llvm.ptr) -> !llvm.ptr, f32
func.func @prefetch(%a: !simd.ptr<f32>, %b: !simd.ptr<f32>, %c: !simd.ptr<f32>) {
  %zero = arith.constant 0 : index
  %one = arith.constant 1 : index
  %two = arith.constant 2 : index
  %k = arith.constant 9 : index
  %ldb = arith.constant 8 : index
  %next = arith.constant 512 : index
  %0 = simd.contract %a[%zero], %b[%zero] rows(%zero) k(%k) outer(%one, %zero) inner(%one, %zero) b_stride(%ldb) prefetch(%next, %two) tile(1, 1) {width = 8} : !simd.ptr<f32>, !simd.ptr<f32> -> vector<8xf32>
  simd.store %0, %c[%zero] {width = 8} : vector<8xf32>, !simd.ptr<f32>
  func.return
}
