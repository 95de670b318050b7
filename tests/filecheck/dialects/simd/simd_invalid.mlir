// RUN: nnc-opt %s --split-input-file --verify-diagnostics | filecheck %s

func.func @width_zero(%x: f32) {
  // CHECK: simd.neg: width must be at least 1, got 0
  %0 = simd.neg %x {width = 0} : f32
  func.return
}

// -----

func.func @width_of_a_scalar(%x: f32) {
  // CHECK: simd.neg: width 4 needs a vector of 4 lanes, got f32
  %0 = simd.neg %x {width = 4} : f32
  func.return
}

// -----

func.func @width_of_a_vector(%x: vector<8xf32>) {
  // CHECK: simd.neg: width 4 needs a vector of 4 lanes, got vector<8xf32>
  %0 = simd.neg %x {width = 4} : vector<8xf32>
  func.return
}

// -----

func.func @one_lane_is_a_scalar(%x: vector<1xf32>) {
  // CHECK: simd.neg: width 1 needs a scalar, got vector<1xf32>
  %0 = simd.neg %x {width = 1} : vector<1xf32>
  func.return
}

// -----

func.func @rank(%x: vector<2x4xf32>) {
  // CHECK: simd.neg: vectors must have rank 1, got vector<2x4xf32>
  %0 = simd.neg %x {width = 2} : vector<2x4xf32>
  func.return
}

// -----

func.func @element_size(%x: vector<4xi7>) {
  // CHECK: simd.neg: i7 cannot be a lane; use a float or an integer of 1, 8, 16, 32 or 64 bits
  %0 = simd.neg %x {width = 4} : vector<4xi7>
  func.return
}

// -----

func.func @pointer_to_nothing_storable(%n: index) {
  // CHECK: simd.ptr: expected a float, a complex number or an integer of 1, 2, 4, 8, 16, 32 or 64 bits, got index
  %0 = simd.alloca 4 : !simd.ptr<index>
  func.return
}

// -----

func.func @float_functions_take_floats(%x: i32) {
  // CHECK: Unexpected attribute i32
  %0 = simd.exp %x {width = 1} : i32
  func.return
}

// -----

func.func @load_of_another_type(%p: !simd.ptr<f32>, %i: index) {
  // CHECK: simd.load: vector<4xf64> does not fit a pointer to f32
  %0 = simd.load %p[%i] {width = 4} : !simd.ptr<f32> -> vector<4xf64>
  func.return
}

// -----

func.func @mask_of_another_width(%p: !simd.ptr<f32>, %i: index, %m: vector<8xi1>) {
  // CHECK: simd.load: width 4 needs a vector of 4 lanes, got vector<8xi1>
  %0 = simd.load %p[%i] mask %m : vector<8xi1> {width = 4} : !simd.ptr<f32> -> vector<4xf32>
  func.return
}

// -----

func.func @mask_of_integers(%p: !simd.ptr<f32>, %i: index, %m: vector<4xi8>) {
  // CHECK: simd.load: the mask must be vector<4xi1>, got vector<4xi8>
  %0 = simd.load %p[%i] mask %m : vector<4xi8> {width = 4} : !simd.ptr<f32> -> vector<4xf32>
  func.return
}

// -----

func.func @gather_index_type(%p: !simd.ptr<f32>, %i: vector<4xi32>) {
  // CHECK: simd.gather: indices must be i64, got vector<4xi32>
  %0 = simd.gather %p[%i : vector<4xi32>] {width = 4} : !simd.ptr<f32> -> vector<4xf32>
  func.return
}

// -----

func.func @mask_result(%n: index) {
  // CHECK: simd.mask: the result must be vector<4xi1>, got vector<4xi8>
  %0 = simd.mask %n {width = 4} : vector<4xi8>
  func.return
}

// -----

func.func @pointer_changes_type(%p: !simd.ptr<f32>, %n: index) {
  // CHECK: simd.ptr_add: !simd.ptr<f32> cannot become !simd.ptr<f64>
  %0 = simd.ptr_add %p, %n : !simd.ptr<f32> -> !simd.ptr<f64>
  func.return
}

// -----

func.func @empty_alloca() {
  // CHECK: simd.alloca: needs at least one element, got 0
  %0 = simd.alloca 0 : !simd.ptr<f32>
  func.return
}

// -----

func.func @negative_slot(%w: !simd.ptr<i64>) {
  // CHECK: simd.load_slot: slot must not be negative, got -1
  %0 = simd.load_slot %w[-1] : index
  func.return
}

// -----

func.func @raise_nothing(%w: !simd.ptr<i64>, %c: i1) {
  // CHECK: simd.raise: code 0 means no error
  simd.raise %w, %c {code = 0, site = 1}
  func.return
}

// -----

func.func @constant_of_another_type() {
  // CHECK: simd.constant: value of type f64 cannot fill vector<4xf32>
  %0 = simd.constant 1.0 : f64 {width = 4} : vector<4xf32>
  func.return
}

// -----

func.func @broadcast_of_a_vector(%x: vector<4xf32>) {
  // CHECK: simd.broadcast: the operand must be a scalar, got vector<4xf32>
  %0 = simd.broadcast %x {width = 4} : vector<4xf32> -> vector<4xf32>
  func.return
}

// -----

func.func @broadcast_to_another_type(%x: f64) {
  // CHECK: simd.broadcast: cannot broadcast f64 to vector<4xf32>
  %0 = simd.broadcast %x {width = 4} : f64 -> vector<4xf32>
  func.return
}

// -----

func.func @iota_type() {
  // CHECK: simd.iota: lanes must be i64, got vector<4xi32>
  %0 = simd.iota {width = 4} : vector<4xi32>
  func.return
}

// -----

func.func @bitcast_size(%x: vector<4xf32>) {
  // CHECK: simd.bitcast: vector<4xf32> and vector<4xi64> differ in size
  %0 = simd.bitcast %x {width = 4} : vector<4xf32> -> vector<4xi64>
  func.return
}

// -----

func.func @reduce_result(%x: vector<4xf32>) {
  // CHECK: simd.reduce: vector<4xf32> reduces to f32, not f64
  %0 = simd.reduce add, %x {width = 4} : vector<4xf32> -> f64
  func.return
}

// -----

func.func @reduce_width(%x: vector<6xf32>) {
  // CHECK: simd.reduce: width must be a power of two, got 6
  %0 = simd.reduce add, %x {width = 6} : vector<6xf32> -> f32
  func.return
}

// -----

func.func @reduce_bits_of_floats(%x: vector<4xf32>) {
  // CHECK: simd.reduce: xor needs integers, got vector<4xf32>
  %0 = simd.reduce xor, %x {width = 4} : vector<4xf32> -> f32
  func.return
}

// -----

func.func @contract_empty_tile(%a: !simd.ptr<f32>, %i: index) {
  // CHECK: simd.contract: tile and width must be at least 1, got 0 x 1 vectors of 8
  %0 = simd.contract %a[%i], %a[%i] rows(%i) k(%i) outer(%i, %i) inner(%i, %i) b_stride(%i) tile(0, 1) {width = 8} : !simd.ptr<f32>, !simd.ptr<f32> -> vector<8xf32>
  func.return
}

// -----

func.func @contract_types(%a: !simd.ptr<f32>, %b: !simd.ptr<f64>, %i: index) {
  // CHECK: simd.contract: A and B must point to one float type, got !simd.ptr<f32> and !simd.ptr<f64>
  %0 = simd.contract %a[%i], %b[%i] rows(%i) k(%i) outer(%i, %i) inner(%i, %i) b_stride(%i) tile(1, 1) {width = 8} : !simd.ptr<f32>, !simd.ptr<f64> -> vector<8xf32>
  func.return
}

// -----

func.func @contract_results(%a: !simd.ptr<bf16>, %i: index) {
  // CHECK: simd.contract: a 1 x 1 tile gives 1 results of vector<8xf32>
  %0 = simd.contract %a[%i], %a[%i] rows(%i) k(%i) outer(%i, %i) inner(%i, %i) b_stride(%i) tile(1, 1) {width = 8} : !simd.ptr<bf16>, !simd.ptr<bf16> -> vector<8xbf16>
  func.return
}

// -----

func.func @contract_init(%a: !simd.ptr<f32>, %i: index, %x: vector<8xf32>) {
  // CHECK: simd.contract: init needs 2 values of vector<8xf32>
  %0, %1 = simd.contract %a[%i], %a[%i] rows(%i) k(%i) outer(%i, %i) inner(%i, %i) b_stride(%i) init(%x : vector<8xf32>) tile(2, 1) {width = 8} : !simd.ptr<f32>, !simd.ptr<f32> -> vector<8xf32>, vector<8xf32>
  func.return
}

// -----

func.func @contract_mask(%a: !simd.ptr<f32>, %i: index, %m: vector<4xi1>) {
  // CHECK: simd.contract: the mask must be vector<8xi1>, got vector<4xi1>
  %0 = simd.contract %a[%i], %a[%i] rows(%i) k(%i) outer(%i, %i) inner(%i, %i) b_stride(%i) mask(%m : vector<4xi1>) tile(1, 1) {width = 8} : !simd.ptr<f32>, !simd.ptr<f32> -> vector<8xf32>
  func.return
}

// -----

func.func @tile_size(%p: !simd.ptr<f32>, %i: index) {
  // CHECK: simd.load_transposed: a tile of width 4 cannot have 2 vectors; it has as many vectors as lanes, a power of two
  %0, %1 = simd.load_transposed %p[%i], %i {width = 4} : !simd.ptr<f32> -> vector<4xf32>, vector<4xf32>
  func.return
}

// -----

func.func @tile_type(%p: !simd.ptr<f32>, %i: index, %x: vector<2xf64>) {
  // CHECK: simd.store_rows: vector<2xf64> does not fit a pointer to f32
  simd.store_rows(%x, %x), %p[%i], %i {width = 2} : (vector<2xf64>, vector<2xf64>), !simd.ptr<f32>
  func.return
}

// -----

func.func @lanes_that_are_not_computed_with(%x: vector<4xf8E5M2>) {
  // CHECK: simd.add: f8E5M2 cannot be a lane; use a float or an integer of 1, 8, 16, 32 or 64 bits
  %0 = simd.add %x, %x {width = 4} : vector<4xf8E5M2>
  func.return
}

// -----

func.func @cast_of_complex(%x: complex<f32>) {
  // CHECK: simd.cast: complex numbers cannot be cast
  %0 = simd.cast %x {width = 1} : complex<f32> -> f32
  func.return
}

// -----

func.func @constant_of_bits() {
  // CHECK: simd.constant: value of type f32 cannot fill vector<4xf8E5M2>
  %0 = simd.constant 1.0 : f32 {width = 4} : vector<4xf8E5M2>
  func.return
}
