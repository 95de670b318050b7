// RUN: nnc-opt %s -p 'convert-simd-to-llvm{target=avx2}' | filecheck %s

// Loops test at the bottom; addresses are getelementptr of elements.
// CHECK-LABEL: llvm.func @loop(
// CHECK: llvm.icmp "slt" %[[ZERO:.*]], %{{.*}} : i64
// CHECK-NEXT: llvm.cond_br %{{.*}}, ^[[BODY:.*]](%[[ZERO]] : i64), ^[[DONE:[^ ]*]]
// CHECK-NEXT: ^[[BODY]](%[[I:.*]]: i64):
// CHECK-NEXT: %[[P:.*]] = llvm.getelementptr inbounds %{{.*}}[%[[I]]] : (!llvm.ptr, i64) -> !llvm.ptr, f32
// CHECK-NEXT: llvm.load %[[P]] {alignment = 4 : i64} : !llvm.ptr -> vector<8xf32>
// CHECK-NEXT: llvm.add %[[I]], %{{.*}} overflow<nsw> : i64
// CHECK-NEXT: llvm.icmp "slt"
// CHECK-NEXT: llvm.cond_br
// CHECK-NEXT: ^[[DONE]]:
// CHECK-NEXT: llvm.return
func.func @loop(%a: !simd.ptr<f32>, %n: index) {
  %zero = arith.constant 0 : index
  %step = arith.constant 8 : index
  scf.for %i = %zero to %n step %step {
    %x = simd.load %a[%i] {width = 8} : !simd.ptr<f32> -> vector<8xf32>
  }
  func.return
}

// Booleans are bytes in memory.
// CHECK-LABEL: llvm.func @booleans(
// CHECK: %[[B:.*]] = llvm.load %{{.*}} {alignment = 1 : i64} : !llvm.ptr -> vector<8xi8>
// CHECK-NEXT: %[[M:.*]] = llvm.icmp "ne" %[[B]], %{{.*}} : vector<8xi8>
// CHECK: llvm.zext %[[M]] : vector<8xi1> to vector<8xi8>
// CHECK-NEXT: llvm.store
func.func @booleans(%a: !simd.ptr<i1>, %n: index) {
  %x = simd.load %a[%n] {width = 8} : !simd.ptr<i1> -> vector<8xi1>
  simd.store %x, %a[%n] {width = 8} : vector<8xi1>, !simd.ptr<i1>
  func.return
}

// Masked lanes go through LLVM's masked intrinsics.
// CHECK-LABEL: llvm.func @masked(
// CHECK: llvm.call_intrinsic "llvm.masked.load.v8f32.p0"
// CHECK: llvm.call_intrinsic "llvm.masked.store.v8f32.p0"
func.func @masked(%a: !simd.ptr<f32>, %n: index) {
  %m = simd.mask %n {width = 8} : vector<8xi1>
  %x = simd.load %a[%n] mask %m : vector<8xi1> {width = 8} : !simd.ptr<f32> -> vector<8xf32>
  simd.store %x, %a[%n] mask %m : vector<8xi1> {width = 8} : vector<8xf32>, !simd.ptr<f32>
  func.return
}

// A maximum with a constant is one compare and select, which is one instruction.
// CHECK-LABEL: llvm.func @clamp(
// CHECK: llvmx.fcmp "olt"
// CHECK-NEXT: llvmx.select
// CHECK-NOT: llvm.maximum
// CHECK-LABEL: llvm.func @largest(
// CHECK: llvm.call_intrinsic "llvm.maximum.v8f32"
func.func @clamp(%a: !simd.ptr<f32>, %n: index) {
  %x = simd.load %a[%n] {width = 8} : !simd.ptr<f32> -> vector<8xf32>
  %c = simd.constant 1.0 : f32 {width = 8} : vector<8xf32>
  %y = simd.max %x, %c {width = 8} : vector<8xf32>
  simd.store %y, %a[%n] {width = 8} : vector<8xf32>, !simd.ptr<f32>
  func.return
}
func.func @largest(%a: !simd.ptr<f32>, %n: index) {
  %x = simd.load %a[%n] {width = 8} : !simd.ptr<f32> -> vector<8xf32>
  %y = simd.max %x, %x {width = 8} : vector<8xf32>
  simd.store %y, %a[%n] {width = 8} : vector<8xf32>, !simd.ptr<f32>
  func.return
}

// The divisors 0 and -1 never reach the division.
// CHECK-LABEL: llvm.func @division(
// CHECK: %[[ZERO:.*]] = llvm.icmp "eq"
// CHECK: %[[MINUS:.*]] = llvm.icmp "eq"
// CHECK: %[[BAD:.*]] = llvm.or %[[ZERO]], %[[MINUS]] : i1
// CHECK: %[[SAFE:.*]] = llvmx.select %[[BAD]]
// CHECK: llvm.sdiv %{{.*}}, %[[SAFE]] : i32
func.func @division(%a: !simd.ptr<i32>, %n: index) {
  %x = simd.load %a[%n] {width = 1} : !simd.ptr<i32> -> i32
  %y = simd.div %x, %x {width = 1} : i32
  simd.store %y, %a[%n] {width = 1} : i32, !simd.ptr<i32>
  func.return
}

// bf16 converts by shifts: exact, and the same on every target.
// CHECK-LABEL: llvm.func @bf16(
// CHECK: llvm.load %{{.*}} {alignment = 2 : i64} : !llvm.ptr -> vector<8xi16>
// CHECK-NEXT: llvm.zext
// CHECK-NEXT: llvm.shl
// CHECK-NEXT: llvm.bitcast %{{.*}} : vector<8xi32> to vector<8xf32>
func.func @bf16(%a: !simd.ptr<bf16>, %n: index) {
  %x = simd.load %a[%n] {width = 8} : !simd.ptr<bf16> -> vector<8xbf16>
  %y = simd.cast %x {width = 8} : vector<8xbf16> -> vector<8xf32>
  func.return
}

// An error is claimed atomically; control flow goes on.
// CHECK-LABEL: llvm.func @errors(
// CHECK: llvm.cond_br %{{.*}}, ^[[FAILED:.*]], ^[[AFTER:[^ ]*]]
// CHECK: llvmx.cmpxchg
// CHECK: llvm.cond_br
// CHECK: llvm.store
// CHECK-NEXT: llvm.br ^[[AFTER]]
// CHECK: ^[[AFTER]]:
// CHECK-NEXT: llvm.return
func.func @errors(%state: !simd.ptr<i64>, %n: index) {
  %zero = arith.constant 0 : index
  %c = arith.cmpi slt, %n, %zero : index
  simd.raise %state, %c {code = 2, site = 5}
  func.return
}

// Functions of other levels stay.
// CHECK-LABEL: func.func @host(
func.func @host(%x: f32) {
  func.return
}

// What is asked for may lie outside of the buffer.
// CHECK-LABEL: llvm.func @prefetch(
// CHECK: %[[ELEMENT:.*]] = llvm.getelementptr inbounds %{{.*}}[%{{.*}}] : (!llvm.ptr, i64) -> !llvm.ptr, f32
// CHECK-NEXT: %[[AHEAD:.*]] = llvm.getelementptr %[[ELEMENT]][4096] : (!llvm.ptr) -> !llvm.ptr, i8
// CHECK: llvm.call_intrinsic "llvm.prefetch.p0"(%[[AHEAD]], %{{.*}}, %{{.*}}, %{{.*}}) : (!llvm.ptr, i32, i32, i32) -> ()
func.func @prefetch(%p: !simd.ptr<f32>, %i: index) {
  simd.prefetch %p[%i] {ahead = 4096} : !simd.ptr<f32>
  func.return
}
