// RUN: NNC_ROUNDTRIP
// RUN: NNC_GENERIC_ROUNDTRIP

// CHECK-LABEL: func.func @float_unary
func.func @float_unary(%x: vector<16xf32>) {
  // CHECK-NEXT: %{{.*}} = simd.acos %x {width = 16} : vector<16xf32>
  %0 = simd.acos %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.acosh %x {width = 16} : vector<16xf32>
  %1 = simd.acosh %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.asin %x {width = 16} : vector<16xf32>
  %2 = simd.asin %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.asinh %x {width = 16} : vector<16xf32>
  %3 = simd.asinh %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.atan %x {width = 16} : vector<16xf32>
  %4 = simd.atan %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.atanh %x {width = 16} : vector<16xf32>
  %5 = simd.atanh %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.ceil %x {width = 16} : vector<16xf32>
  %6 = simd.ceil %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.cos %x {width = 16} : vector<16xf32>
  %7 = simd.cos %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.cosh %x {width = 16} : vector<16xf32>
  %8 = simd.cosh %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.erf %x {width = 16} : vector<16xf32>
  %9 = simd.erf %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.exp2 %x {width = 16} : vector<16xf32>
  %10 = simd.exp2 %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.exp %x {width = 16} : vector<16xf32>
  %11 = simd.exp %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.expm1 %x {width = 16} : vector<16xf32>
  %12 = simd.expm1 %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.floor %x {width = 16} : vector<16xf32>
  %13 = simd.floor %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.log1p %x {width = 16} : vector<16xf32>
  %14 = simd.log1p %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.log %x {width = 16} : vector<16xf32>
  %15 = simd.log %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.reciprocal %x {width = 16} : vector<16xf32>
  %16 = simd.reciprocal %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.round_even %x {width = 16} : vector<16xf32>
  %17 = simd.round_even %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.rsqrt %x {width = 16} : vector<16xf32>
  %18 = simd.rsqrt %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.sigmoid %x {width = 16} : vector<16xf32>
  %19 = simd.sigmoid %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.sin %x {width = 16} : vector<16xf32>
  %20 = simd.sin %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.sinh %x {width = 16} : vector<16xf32>
  %21 = simd.sinh %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.sqrt %x {width = 16} : vector<16xf32>
  %22 = simd.sqrt %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.tan %x {width = 16} : vector<16xf32>
  %23 = simd.tan %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.tanh %x {width = 16} : vector<16xf32>
  %24 = simd.tanh %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.trunc %x {width = 16} : vector<16xf32>
  %25 = simd.trunc %x {width = 16} : vector<16xf32>
  func.return
}

// CHECK-LABEL: func.func @any_unary
func.func @any_unary(%x: vector<16xf32>, %i: vector<8xui8>, %s: f64) {
  // CHECK-NEXT: %{{.*}} = simd.neg %x {width = 16} : vector<16xf32>
  %0 = simd.neg %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.abs %i {width = 8} : vector<8xui8>
  %1 = simd.abs %i {width = 8} : vector<8xui8>
  // CHECK-NEXT: %{{.*}} = simd.sign %s {width = 1} : f64
  %2 = simd.sign %s {width = 1} : f64
  // CHECK-NEXT: %{{.*}} = simd.not %i {width = 8} : vector<8xui8>
  %3 = simd.not %i {width = 8} : vector<8xui8>
  // CHECK-NEXT: %{{.*}} = simd.is_nan %x {width = 16} : vector<16xf32> -> vector<16xi1>
  %4 = simd.is_nan %x {width = 16} : vector<16xf32> -> vector<16xi1>
  // CHECK-NEXT: %{{.*}} = simd.is_inf %s {width = 1} : f64 -> i1
  %5 = simd.is_inf %s {width = 1} : f64 -> i1
  func.return
}

// CHECK-LABEL: func.func @binary
func.func @binary(%x: vector<16xf32>) {
  // CHECK-NEXT: %{{.*}} = simd.add %x, %x {width = 16} : vector<16xf32>
  %0 = simd.add %x, %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.atan2 %x, %x {width = 16} : vector<16xf32>
  %1 = simd.atan2 %x, %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.div %x, %x {width = 16} : vector<16xf32>
  %2 = simd.div %x, %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.max %x, %x {width = 16} : vector<16xf32>
  %3 = simd.max %x, %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.min %x, %x {width = 16} : vector<16xf32>
  %4 = simd.min %x, %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.mod_floor %x, %x {width = 16} : vector<16xf32>
  %5 = simd.mod_floor %x, %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.mul %x, %x {width = 16} : vector<16xf32>
  %6 = simd.mul %x, %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.pow %x, %x {width = 16} : vector<16xf32>
  %7 = simd.pow %x, %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.rem %x, %x {width = 16} : vector<16xf32>
  %8 = simd.rem %x, %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.sub %x, %x {width = 16} : vector<16xf32>
  %9 = simd.sub %x, %x {width = 16} : vector<16xf32>
  func.return
}

// CHECK-LABEL: func.func @integer_binary
func.func @integer_binary(%x: vector<4xi64>) {
  // CHECK-NEXT: %{{.*}} = simd.and %x, %x {width = 4} : vector<4xi64>
  %0 = simd.and %x, %x {width = 4} : vector<4xi64>
  // CHECK-NEXT: %{{.*}} = simd.or %x, %x {width = 4} : vector<4xi64>
  %1 = simd.or %x, %x {width = 4} : vector<4xi64>
  // CHECK-NEXT: %{{.*}} = simd.shl %x, %x {width = 4} : vector<4xi64>
  %2 = simd.shl %x, %x {width = 4} : vector<4xi64>
  // CHECK-NEXT: %{{.*}} = simd.shr %x, %x {width = 4} : vector<4xi64>
  %3 = simd.shr %x, %x {width = 4} : vector<4xi64>
  // CHECK-NEXT: %{{.*}} = simd.xor %x, %x {width = 4} : vector<4xi64>
  %4 = simd.xor %x, %x {width = 4} : vector<4xi64>
  func.return
}

// CHECK-LABEL: func.func @choice
func.func @choice(%x: vector<16xf32>, %m: vector<16xi1>, %i: i8) {
  // CHECK-NEXT: %{{.*}} = simd.fma %x, %x, %x {width = 16} : vector<16xf32>
  %0 = simd.fma %x, %x, %x {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.cmp eq, %x, %x {width = 16} : vector<16xf32> -> vector<16xi1>
  %1 = simd.cmp eq, %x, %x {width = 16} : vector<16xf32> -> vector<16xi1>
  // CHECK-NEXT: %{{.*}} = simd.cmp ne, %x, %x {width = 16} : vector<16xf32> -> vector<16xi1>
  %2 = simd.cmp ne, %x, %x {width = 16} : vector<16xf32> -> vector<16xi1>
  // CHECK-NEXT: %{{.*}} = simd.cmp lt, %x, %x {width = 16} : vector<16xf32> -> vector<16xi1>
  %3 = simd.cmp lt, %x, %x {width = 16} : vector<16xf32> -> vector<16xi1>
  // CHECK-NEXT: %{{.*}} = simd.cmp le, %x, %x {width = 16} : vector<16xf32> -> vector<16xi1>
  %4 = simd.cmp le, %x, %x {width = 16} : vector<16xf32> -> vector<16xi1>
  // CHECK-NEXT: %{{.*}} = simd.cmp gt, %x, %x {width = 16} : vector<16xf32> -> vector<16xi1>
  %5 = simd.cmp gt, %x, %x {width = 16} : vector<16xf32> -> vector<16xi1>
  // CHECK-NEXT: %{{.*}} = simd.cmp ge, %x, %x {width = 16} : vector<16xf32> -> vector<16xi1>
  %6 = simd.cmp ge, %x, %x {width = 16} : vector<16xf32> -> vector<16xi1>
  // CHECK-NEXT: %{{.*}} = simd.cmp lt, %i, %i {width = 1} : i8 -> i1
  %7 = simd.cmp lt, %i, %i {width = 1} : i8 -> i1
  // CHECK-NEXT: %{{.*}} = simd.select %m, %x, %x {width = 16} : vector<16xi1>, vector<16xf32>
  %8 = simd.select %m, %x, %x {width = 16} : vector<16xi1>, vector<16xf32>
  func.return
}

// CHECK-LABEL: func.func @conversions
func.func @conversions(%x: vector<16xf32>, %n: index, %h: vector<8xbf16>) {
  // CHECK-NEXT: %{{.*}} = simd.cast %x {width = 16} : vector<16xf32> -> vector<16xui8>
  %0 = simd.cast %x {width = 16} : vector<16xf32> -> vector<16xui8>
  // CHECK-NEXT: %{{.*}} = simd.cast %n {width = 1} : index -> f32
  %1 = simd.cast %n {width = 1} : index -> f32
  // CHECK-NEXT: %{{.*}} = simd.cast %1 {width = 1} : f32 -> index
  %2 = simd.cast %1 {width = 1} : f32 -> index
  // CHECK-NEXT: %{{.*}} = simd.cast %h {width = 8} : vector<8xbf16> -> vector<8xf64>
  %3 = simd.cast %h {width = 8} : vector<8xbf16> -> vector<8xf64>
  // CHECK-NEXT: %{{.*}} = simd.bitcast %x {width = 16} : vector<16xf32> -> vector<16xi32>
  %4 = simd.bitcast %x {width = 16} : vector<16xf32> -> vector<16xi32>
  func.return
}

// CHECK-LABEL: func.func @sources
func.func @sources(%s: f32) {
  // CHECK-NEXT: %{{.*}} = simd.constant 1.500000e+00 : f32 {width = 16} : vector<16xf32>
  %0 = simd.constant 1.500000e+00 : f32 {width = 16} : vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.constant 0x7f800000 : f32 {width = 1} : f32
  %1 = simd.constant 0x7f800000 : f32 {width = 1} : f32
  // CHECK-NEXT: %{{.*}} = simd.constant 200 : ui8 {width = 4} : vector<4xui8>
  %2 = simd.constant 200 : ui8 {width = 4} : vector<4xui8>
  // CHECK-NEXT: %{{.*}} = simd.constant true {width = 1} : i1
  %3 = simd.constant true {width = 1} : i1
  // CHECK-NEXT: %{{.*}} = simd.constant false {width = 8} : vector<8xi1>
  %4 = simd.constant false {width = 8} : vector<8xi1>
  // CHECK-NEXT: %{{.*}} = simd.broadcast %s {width = 16} : f32 -> vector<16xf32>
  %5 = simd.broadcast %s {width = 16} : f32 -> vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.broadcast %s {width = 1} : f32 -> f32
  %6 = simd.broadcast %s {width = 1} : f32 -> f32
  // CHECK-NEXT: %{{.*}} = simd.iota {width = 16} : vector<16xi64>
  %7 = simd.iota {width = 16} : vector<16xi64>
  // CHECK-NEXT: %{{.*}} = simd.iota {width = 1} : i64
  %8 = simd.iota {width = 1} : i64
  func.return
}

// CHECK-LABEL: func.func @reductions
func.func @reductions(%x: vector<16xf32>, %i: vector<8xi32>, %s: f32) {
  // CHECK-NEXT: %{{.*}} = simd.reduce add, %x {width = 16} : vector<16xf32> -> f32
  %0 = simd.reduce add, %x {width = 16} : vector<16xf32> -> f32
  // CHECK-NEXT: %{{.*}} = simd.reduce mul, %x {width = 16} : vector<16xf32> -> f32
  %1 = simd.reduce mul, %x {width = 16} : vector<16xf32> -> f32
  // CHECK-NEXT: %{{.*}} = simd.reduce min, %x {width = 16} : vector<16xf32> -> f32
  %2 = simd.reduce min, %x {width = 16} : vector<16xf32> -> f32
  // CHECK-NEXT: %{{.*}} = simd.reduce max, %x {width = 16} : vector<16xf32> -> f32
  %3 = simd.reduce max, %x {width = 16} : vector<16xf32> -> f32
  // CHECK-NEXT: %{{.*}} = simd.reduce and, %i {width = 8} : vector<8xi32> -> i32
  %4 = simd.reduce and, %i {width = 8} : vector<8xi32> -> i32
  // CHECK-NEXT: %{{.*}} = simd.reduce or, %i {width = 8} : vector<8xi32> -> i32
  %5 = simd.reduce or, %i {width = 8} : vector<8xi32> -> i32
  // CHECK-NEXT: %{{.*}} = simd.reduce xor, %i {width = 8} : vector<8xi32> -> i32
  %6 = simd.reduce xor, %i {width = 8} : vector<8xi32> -> i32
  // CHECK-NEXT: %{{.*}} = simd.reduce add, %s {width = 1} : f32 -> f32
  %7 = simd.reduce add, %s {width = 1} : f32 -> f32
  func.return
}

// CHECK-LABEL: func.func @loads
func.func @loads(%p: !simd.ptr<f32>, %i: index, %v: vector<16xi64>, %m: vector<16xi1>, %c: i1) {
  // CHECK-NEXT: %{{.*}} = simd.load %p[%i] {width = 1} : !simd.ptr<f32> -> f32
  %0 = simd.load %p[%i] {width = 1} : !simd.ptr<f32> -> f32
  // CHECK-NEXT: %{{.*}} = simd.load %p[%i] {width = 16} : !simd.ptr<f32> -> vector<16xf32>
  %1 = simd.load %p[%i] {width = 16} : !simd.ptr<f32> -> vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.load %p[%i] mask %m : vector<16xi1> {width = 16} : !simd.ptr<f32> -> vector<16xf32>
  %2 = simd.load %p[%i] mask %m : vector<16xi1> {width = 16} : !simd.ptr<f32> -> vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.load %p[%i] mask %c : i1 {width = 1} : !simd.ptr<f32> -> f32
  %3 = simd.load %p[%i] mask %c : i1 {width = 1} : !simd.ptr<f32> -> f32
  // CHECK-NEXT: %{{.*}} = simd.gather %p[%v : vector<16xi64>] {width = 16} : !simd.ptr<f32> -> vector<16xf32>
  %4 = simd.gather %p[%v : vector<16xi64>] {width = 16} : !simd.ptr<f32> -> vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.gather %p[%v : vector<16xi64>] mask %m : vector<16xi1> {width = 16} : !simd.ptr<f32> -> vector<16xf32>
  %5 = simd.gather %p[%v : vector<16xi64>] mask %m : vector<16xi1> {width = 16} : !simd.ptr<f32> -> vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.load_strided %p[%i], %i {width = 16} : !simd.ptr<f32> -> vector<16xf32>
  %6 = simd.load_strided %p[%i], %i {width = 16} : !simd.ptr<f32> -> vector<16xf32>
  // CHECK-NEXT: %{{.*}} = simd.load_strided %p[%i], %i mask %m : vector<16xi1> {width = 16} : !simd.ptr<f32> -> vector<16xf32>
  %7 = simd.load_strided %p[%i], %i mask %m : vector<16xi1> {width = 16} : !simd.ptr<f32> -> vector<16xf32>
  func.return
}

// CHECK-LABEL: func.func @stores
func.func @stores(%p: !simd.ptr<f32>, %i: index, %x: vector<16xf32>, %s: f32, %m: vector<16xi1>) {
  // CHECK-NEXT: simd.store %s, %p[%i] {width = 1} : f32, !simd.ptr<f32>
  simd.store %s, %p[%i] {width = 1} : f32, !simd.ptr<f32>
  // CHECK-NEXT: simd.store %x, %p[%i] {width = 16} : vector<16xf32>, !simd.ptr<f32>
  simd.store %x, %p[%i] {width = 16} : vector<16xf32>, !simd.ptr<f32>
  // CHECK-NEXT: simd.store %x, %p[%i] mask %m : vector<16xi1> {width = 16} : vector<16xf32>, !simd.ptr<f32>
  simd.store %x, %p[%i] mask %m : vector<16xi1> {width = 16} : vector<16xf32>, !simd.ptr<f32>
  // CHECK-NEXT: simd.store_strided %x, %p[%i], %i {width = 16} : vector<16xf32>, !simd.ptr<f32>
  simd.store_strided %x, %p[%i], %i {width = 16} : vector<16xf32>, !simd.ptr<f32>
  // CHECK-NEXT: simd.store_strided %x, %p[%i], %i mask %m : vector<16xi1> {width = 16} : vector<16xf32>, !simd.ptr<f32>
  simd.store_strided %x, %p[%i], %i mask %m : vector<16xi1> {width = 16} : vector<16xf32>, !simd.ptr<f32>
  func.return
}

// CHECK-LABEL: func.func @pointers
func.func @pointers(%p: !simd.ptr<f32>, %w: !simd.ptr<i64>, %i: index, %c: i1) {
  // CHECK-NEXT: %{{.*}} = simd.mask %i {width = 16} : vector<16xi1>
  %0 = simd.mask %i {width = 16} : vector<16xi1>
  // CHECK-NEXT: %{{.*}} = simd.mask %i {width = 1} : i1
  %1 = simd.mask %i {width = 1} : i1
  // CHECK-NEXT: %{{.*}} = simd.ptr_add %p, %i : !simd.ptr<f32> -> !simd.ptr<f32>
  %2 = simd.ptr_add %p, %i : !simd.ptr<f32> -> !simd.ptr<f32>
  // CHECK-NEXT: simd.prefetch %p[%i] {ahead = 4096} : !simd.ptr<f32>
  simd.prefetch %p[%i] {ahead = 4096} : !simd.ptr<f32>
  // CHECK-NEXT: %{{.*}} = simd.alloca 256 : !simd.ptr<f32>
  %3 = simd.alloca 256 : !simd.ptr<f32>
  // CHECK-NEXT: %{{.*}} = simd.load_slot %w[3] : !simd.ptr<f32>
  %4 = simd.load_slot %w[3] : !simd.ptr<f32>
  // CHECK-NEXT: %{{.*}} = simd.load_slot %w[4] : index
  %5 = simd.load_slot %w[4] : index
  // CHECK-NEXT: simd.raise %w, %c {code = 3, site = 17}
  simd.raise %w, %c {code = 3, site = 17}
  // CHECK-NEXT: simd.raise %w, %c detail %i {code = 3, site = 17}
  simd.raise %w, %c detail %i {code = 3, site = 17}
  func.return
}

// CHECK-LABEL: func.func @contract
func.func @contract(%a: !simd.ptr<f32>, %h: !simd.ptr<bf16>, %i: index, %m: vector<8xi1>, %x: vector<8xf32>) {
  // CHECK-NEXT: %{{.*}} = simd.contract %a[%i], %a[%i] rows(%i) k(%i) outer(%i, %i) inner(%i, %i) b_stride(%i) tile(2, 1) {width = 8} : !simd.ptr<f32>, !simd.ptr<f32> -> vector<8xf32>, vector<8xf32>
  %0, %1 = simd.contract %a[%i], %a[%i] rows(%i) k(%i) outer(%i, %i) inner(%i, %i) b_stride(%i) tile(2, 1) {width = 8} : !simd.ptr<f32>, !simd.ptr<f32> -> vector<8xf32>, vector<8xf32>
  // CHECK-NEXT: %{{.*}} = simd.contract %a[%i], %a[%i] rows(%i) k(%i) outer(%i, %i) inner(%i, %i) b_stride(%i) mask(%m : vector<8xi1>) init(%x : vector<8xf32>) tile(1, 1) a_k_stride(4) {width = 8} : !simd.ptr<f32>, !simd.ptr<f32> -> vector<8xf32>
  %2 = simd.contract %a[%i], %a[%i] rows(%i) k(%i) outer(%i, %i) inner(%i, %i) b_stride(%i) mask(%m : vector<8xi1>) init(%x : vector<8xf32>) tile(1, 1) a_k_stride(4) {width = 8} : !simd.ptr<f32>, !simd.ptr<f32> -> vector<8xf32>
  // CHECK-NEXT: %{{.*}} = simd.contract %a[%i], %a[%i] rows(%i) k(%i) outer(%i, %i) inner(%i, %i) b_stride(%i) prefetch(%i, %i) tile(1, 1) {width = 8} : !simd.ptr<f32>, !simd.ptr<f32> -> vector<8xf32>
  %4 = simd.contract %a[%i], %a[%i] rows(%i) k(%i) outer(%i, %i) inner(%i, %i) b_stride(%i) prefetch(%i, %i) tile(1, 1) {width = 8} : !simd.ptr<f32>, !simd.ptr<f32> -> vector<8xf32>
  // CHECK-NEXT: %{{.*}} = simd.contract %h[%i], %h[%i] rows(%i) k(%i) outer(%i, %i) inner(%i, %i) b_stride(%i) tile(1, 1) {width = 8} : !simd.ptr<bf16>, !simd.ptr<bf16> -> vector<8xf32>
  %3 = simd.contract %h[%i], %h[%i] rows(%i) k(%i) outer(%i, %i) inner(%i, %i) b_stride(%i) tile(1, 1) {width = 8} : !simd.ptr<bf16>, !simd.ptr<bf16> -> vector<8xf32>
  func.return
}

// CHECK-LABEL: func.func @tiles
func.func @tiles(%p: !simd.ptr<f32>, %i: index, %x: vector<2xf32>) {
  // CHECK-NEXT: %{{.*}}, %{{.*}} = simd.load_transposed %p[%i], %i {width = 2} : !simd.ptr<f32> -> vector<2xf32>, vector<2xf32>
  %0, %1 = simd.load_transposed %p[%i], %i {width = 2} : !simd.ptr<f32> -> vector<2xf32>, vector<2xf32>
  // CHECK-NEXT: %{{.*}}, %{{.*}} = simd.load_transposed %p[%i], %i rows %i columns %i {width = 2} : !simd.ptr<f32> -> vector<2xf32>, vector<2xf32>
  %2, %3 = simd.load_transposed %p[%i], %i rows %i columns %i {width = 2} : !simd.ptr<f32> -> vector<2xf32>, vector<2xf32>
  // CHECK-NEXT: simd.store_rows(%x, %x), %p[%i], %i {width = 2} : (vector<2xf32>, vector<2xf32>), !simd.ptr<f32>
  simd.store_rows(%x, %x), %p[%i], %i {width = 2} : (vector<2xf32>, vector<2xf32>), !simd.ptr<f32>
  // CHECK-NEXT: simd.store_rows(%x, %x), %p[%i], %i rows %i columns %i {width = 2} : (vector<2xf32>, vector<2xf32>), !simd.ptr<f32>
  simd.store_rows(%x, %x), %p[%i], %i rows %i columns %i {width = 2} : (vector<2xf32>, vector<2xf32>), !simd.ptr<f32>
  func.return
}

// CHECK-LABEL: func.func @stored_only
func.func @stored_only(%p: !simd.ptr<f8E4M3FN>, %q: !simd.ptr<i4>, %c: !simd.ptr<complex<f64>>, %i: index, %x: vector<4xf32>, %m: vector<4xi1>) {
  // CHECK-NEXT: %{{.*}} = simd.load %p[%i] {width = 4} : !simd.ptr<f8E4M3FN> -> vector<4xf8E4M3FN>
  %0 = simd.load %p[%i] {width = 4} : !simd.ptr<f8E4M3FN> -> vector<4xf8E4M3FN>
  // CHECK-NEXT: %{{.*}} = simd.load %c[%i] {width = 1} : !simd.ptr<complex<f64>> -> complex<f64>
  %1 = simd.load %c[%i] {width = 1} : !simd.ptr<complex<f64>> -> complex<f64>
  // CHECK-NEXT: %{{.*}} = simd.cast %x {width = 4} {saturate = false} : vector<4xf32> -> vector<4xf8E4M3FN>
  %2 = simd.cast %x {width = 4} {saturate = false} : vector<4xf32> -> vector<4xf8E4M3FN>
  // CHECK-NEXT: %{{.*}} = simd.constant 56 : i8 {width = 4} : vector<4xf8E4M3FN>
  %3 = simd.constant 56 : i8 {width = 4} : vector<4xf8E4M3FN>
  // CHECK-NEXT: %{{.*}} = simd.select %m, %0, %3 {width = 4} : vector<4xi1>, vector<4xf8E4M3FN>
  %4 = simd.select %m, %0, %3 {width = 4} : vector<4xi1>, vector<4xf8E4M3FN>
  // CHECK-NEXT: %{{.*}} = simd.cast %x {width = 4} : vector<4xf32> -> vector<4xi4>
  %5 = simd.cast %x {width = 4} : vector<4xf32> -> vector<4xi4>
  // CHECK-NEXT: simd.store %5, %q[%i] {width = 4} : vector<4xi4>, !simd.ptr<i4>
  simd.store %5, %q[%i] {width = 4} : vector<4xi4>, !simd.ptr<i4>
  func.return
}
