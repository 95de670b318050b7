// RUN: NNC_ROUNDTRIP
// RUN: NNC_GENERIC_ROUNDTRIP

// CHECK-LABEL: llvm.func @ops
llvm.func @ops(%p: !llvm.ptr, %m: vector<4xi1>, %x: vector<4xf32>, %i: vector<4xi64>, %w: i64) {
  // CHECK-NEXT: llvmx.select %{{.*}}, %{{.*}}, %{{.*}} : vector<4xi1>, vector<4xf32>
  %0 = llvmx.select %m, %x, %x : vector<4xi1>, vector<4xf32>
  // CHECK-NEXT: llvmx.fcmp "olt" %{{.*}}, %{{.*}} : vector<4xf32> -> vector<4xi1>
  %1 = llvmx.fcmp "olt" %x, %x : vector<4xf32> -> vector<4xi1>
  // CHECK-NEXT: llvmx.extractelement %{{.*}}[2] : vector<4xf32> -> f32
  %2 = llvmx.extractelement %x[2] : vector<4xf32> -> f32
  // CHECK-NEXT: llvmx.uitofp %{{.*}} : vector<4xi64> to vector<4xf32>
  %3 = llvmx.uitofp %i : vector<4xi64> to vector<4xf32>
  // CHECK-NEXT: llvmx.fptosi %{{.*}} : vector<4xf32> to vector<4xi32>
  %4 = llvmx.fptosi %x : vector<4xf32> to vector<4xi32>
  // CHECK-NEXT: llvmx.fptoui %{{.*}} : vector<4xf32> to vector<4xi32>
  %5 = llvmx.fptoui %x : vector<4xf32> to vector<4xi32>
  // CHECK-NEXT: llvmx.cmpxchg %{{.*}}, %{{.*}}, %{{.*}} : i64
  %6 = llvmx.cmpxchg %p, %w, %w : i64
  // CHECK-NEXT: llvmx.masked_gather %{{.*}}[%{{.*}}], %{{.*}}, %{{.*}} : vector<4xi64>, vector<4xi1>, vector<4xf32> -> vector<4xf32>
  %7 = llvmx.masked_gather %p[%i], %m, %x : vector<4xi64>, vector<4xi1>, vector<4xf32> -> vector<4xf32>
  // CHECK-NEXT: llvmx.masked_scatter %{{.*}}, %{{.*}}[%{{.*}}], %{{.*}} : vector<4xf32>, vector<4xi64>, vector<4xi1>
  llvmx.masked_scatter %x, %p[%i], %m : vector<4xf32>, vector<4xi64>, vector<4xi1>
  llvm.return
}
