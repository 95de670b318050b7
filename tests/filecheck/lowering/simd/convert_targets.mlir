// RUN: nnc-opt %s -p 'convert-simd-to-llvm{target=generic}' | filecheck %s --check-prefix=SSE
// RUN: nnc-opt %s -p 'convert-simd-to-llvm{target=avx512}' | filecheck %s --check-prefix=AVX512

// Without fused multiply-add there are two roundings.
// SSE-LABEL: llvm.func @fused(
// SSE: llvm.fmul
// SSE-NEXT: llvm.fadd
// AVX512-LABEL: llvm.func @fused(
// AVX512: llvm.call_intrinsic "llvm.fma.v16f32"
func.func @fused(%a: !simd.ptr<f32>, %n: index) {
  %x = simd.load %a[%n] {width = 16} : !simd.ptr<f32> -> vector<16xf32>
  %y = simd.fma %x, %x, %x {width = 16} : vector<16xf32>
  simd.store %y, %a[%n] {width = 16} : vector<16xf32>, !simd.ptr<f32>
  func.return
}

// Scaling by a power of two is one instruction of AVX-512, two products elsewhere.
// SSE-LABEL: llvm.func @exponential(
// SSE: llvm.ashr
// SSE-NOT: scalef
// SSE-LABEL: llvm.func @floor(
// AVX512-LABEL: llvm.func @exponential(
// AVX512: llvm.call_intrinsic "llvm.x86.avx512.mask.scalef.ps.512"
func.func @exponential(%a: !simd.ptr<f32>, %n: index) {
  %x = simd.load %a[%n] {width = 16} : !simd.ptr<f32> -> vector<16xf32>
  %y = simd.exp %x {width = 16} : vector<16xf32>
  simd.store %y, %a[%n] {width = 16} : vector<16xf32>, !simd.ptr<f32>
  func.return
}

// SSE2 has no rounding instruction, and a library call a lane would be slow.
// SSE-NOT: llvm.floor
// SSE-LABEL: llvm.func @half(
// AVX512-LABEL: llvm.func @floor(
// AVX512: llvm.call_intrinsic "llvm.floor.v16f32"
func.func @floor(%a: !simd.ptr<f32>, %n: index) {
  %x = simd.load %a[%n] {width = 16} : !simd.ptr<f32> -> vector<16xf32>
  %y = simd.floor %x {width = 16} : vector<16xf32>
  simd.store %y, %a[%n] {width = 16} : vector<16xf32>, !simd.ptr<f32>
  func.return
}

// f16 needs f16c; without it LLVM would call a runtime library.
// SSE-NOT: llvm.fpext
// AVX512-LABEL: llvm.func @half(
// AVX512: llvm.fpext %{{.*}} : vector<16xf16> to vector<16xf32>
func.func @half(%a: !simd.ptr<f16>, %n: index) {
  %x = simd.load %a[%n] {width = 16} : !simd.ptr<f16> -> vector<16xf16>
  %y = simd.cast %x {width = 16} : vector<16xf16> -> vector<16xf32>
  func.return
}
