// RUN: nnc-opt %s -p finalize-kernel-abi | filecheck %s

// CHECK-LABEL: func.func @arguments_from_slots(
// CHECK-SAME: !simd.ptr<i64>, %{{.*}}: index, %{{.*}}: index) attributes {kernel_abi} {
// CHECK-NEXT: %[[A:.*]] = simd.load_slot %slots[1] : !simd.ptr<f32>
// CHECK-NEXT: %[[N:.*]] = simd.load_slot %slots[2] : index
// CHECK-NEXT: simd.load %[[A]][%[[N]]]
func.func @arguments_from_slots(%a: !simd.ptr<f32>, %n: index, %begin: index, %end: index) {
  %x = simd.load %a[%n] {width = 4} : !simd.ptr<f32> -> vector<4xf32>
  func.return
}

// CHECK-LABEL: func.func @state_in_slot_zero(
// CHECK-SAME: attributes {needs_state, kernel_abi} {
// CHECK-NEXT: simd.load_slot %slots[0] : !simd.ptr<i64>
// CHECK-NEXT: simd.load_slot %slots[1] : !simd.ptr<i8>
func.func @state_in_slot_zero(%state: !simd.ptr<i64>, %a: !simd.ptr<i8>, %begin: index, %end: index) attributes {needs_state} {
  func.return
}

// CHECK-LABEL: func.func @host_stays(
// CHECK-SAME: f32)
func.func @host_stays(%x: f32) {
  func.return
}
