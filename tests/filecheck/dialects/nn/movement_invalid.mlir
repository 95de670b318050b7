// RUN: nnc-opt %s --split-input-file --verify-diagnostics | filecheck %s

func.func @reshape_count(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.reshape: 24 elements cannot become 25
  %0 = nn.reshape %x : (tensor<1x4x6xf32>) -> tensor<5x5xf32>
  func.return
}

// -----

func.func @reshape_symbolic_count(%x: tensor<?x4xf32, #nn.shape<N, 4>>) {
  // CHECK: nn.reshape: 4*N elements cannot become 4*N + 1
  %0 = nn.reshape %x : (tensor<?x4xf32, #nn.shape<N, 4>>) -> tensor<?xf32, #nn.shape<4*N + 1>>
  func.return
}

// -----

func.func @permutation(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.transpose: [0, 0, 1] is no permutation of the 3 axes of tensor<1x4x6xf32>
  %0 = nn.transpose %x {permutation = array<i64: 0, 0, 1>} : (tensor<1x4x6xf32>) -> tensor<1x1x4xf32>
  func.return
}

// -----

func.func @broadcast_size(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.broadcast: tensor<1x4x6xf32> does not broadcast to tensor<1x8x6xf32>
  %0 = nn.broadcast %x : (tensor<1x4x6xf32>) -> tensor<1x8x6xf32>
  func.return
}

// -----

func.func @broadcast_rank(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.broadcast: tensor<1x4x6xf32> does not broadcast to tensor<4x6xf32>
  %0 = nn.broadcast %x : (tensor<1x4x6xf32>) -> tensor<4x6xf32>
  func.return
}

// -----

func.func @dim_cast(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.dim_cast: tensor<1x4x6xf32> can never be tensor<1x4x7xf32>
  %0 = nn.dim_cast %x : (tensor<1x4x6xf32>) -> tensor<1x4x7xf32>
  func.return
}

// -----

func.func @dim_cast_rank(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.dim_cast: tensor<1x4x6xf32> can never be tensor<1x4xf32>
  %0 = nn.dim_cast %x : (tensor<1x4x6xf32>) -> tensor<1x4xf32>
  func.return
}

// -----

func.func @slice_rank(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.slice: offsets, steps and result must have rank 3
  %0 = nn.slice %x {offsets = #nn.shape<0, 0>, steps = array<i64: 1, 1, 1>} : (tensor<1x4x6xf32>) -> tensor<1x4x6xf32>
  func.return
}

// -----

func.func @slice_step(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.slice: step 0 on axis 1
  %0 = nn.slice %x {offsets = #nn.shape<0, 0, 0>, steps = array<i64: 1, 0, 1>} : (tensor<1x4x6xf32>) -> tensor<1x4x6xf32>
  func.return
}

// -----

func.func @slice_outside(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.slice: index 6 of axis 2 is outside of size 6
  %0 = nn.slice %x {offsets = #nn.shape<0, 0, 2>, steps = array<i64: 1, 1, 2>} : (tensor<1x4x6xf32>) -> tensor<1x4x3xf32>
  func.return
}

// -----

func.func @slice_before(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.slice: index -1 of axis 1 is outside of size 4
  %0 = nn.slice %x {offsets = #nn.shape<0, 1, 0>, steps = array<i64: 1, -1, 1>} : (tensor<1x4x6xf32>) -> tensor<1x3x6xf32>
  func.return
}

// -----

func.func @pad_rank(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.pad: low and high must have rank 3
  %0 = nn.pad %x {low = #nn.shape<0>, high = #nn.shape<0>, mode = "edge"} : (tensor<1x4x6xf32>) -> tensor<1x4x6xf32>
  func.return
}

// -----

func.func @pad_mode(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.pad: unknown mode 'mirror'
  %0 = nn.pad %x {low = #nn.shape<0, 0, 0>, high = #nn.shape<0, 0, 0>, mode = "mirror"} : (tensor<1x4x6xf32>) -> tensor<1x4x6xf32>
  func.return
}

// -----

func.func @pad_negative(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.pad: negative padding -1
  %0 = nn.pad %x {low = #nn.shape<0, -1, 0>, high = #nn.shape<0, 0, 0>, mode = "edge"} : (tensor<1x4x6xf32>) -> tensor<1x3x6xf32>
  func.return
}

// -----

func.func @pad_value(%x: tensor<1x4x6xf32>, %v: tensor<1xf32>) {
  // CHECK: nn.pad: the value must be a scalar
  %0 = nn.pad %x, %v {low = #nn.shape<0, 0, 0>, high = #nn.shape<0, 0, 0>, mode = "constant"} : (tensor<1x4x6xf32>, tensor<1xf32>) -> tensor<1x4x6xf32>
  func.return
}

// -----

func.func @concat_nothing() {
  // CHECK: nn.concat: no operands
  %0 = nn.concat {axis = 0 : i64} : () -> tensor<0xf32>
  func.return
}

// -----

func.func @concat_shapes(%x: tensor<1x4x6xf32>, %y: tensor<1x5x6xf32>) {
  // CHECK: nn.concat: operands differ outside of axis 2: tensor<1x4x6xf32>, tensor<1x5x6xf32>
  %0 = nn.concat %x, %y {axis = 2 : i64} : (tensor<1x4x6xf32>, tensor<1x5x6xf32>) -> tensor<1x4x12xf32>
  func.return
}

// -----

func.func @concat_axis(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.concat: axis 3 is outside of rank 3
  %0 = nn.concat %x, %x {axis = 3 : i64} : (tensor<1x4x6xf32>, tensor<1x4x6xf32>) -> tensor<1x4x12xf32>
  func.return
}

// -----

func.func @gather_indices(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.gather: the index tensor must hold integers, got tensor<1x4x6xf32>
  %0 = nn.gather %x, %x {axis = 0 : i64} : (tensor<1x4x6xf32>, tensor<1x4x6xf32>) -> tensor<1x4x6x4x6xf32>
  func.return
}

// -----

func.func @gather_elements_rank(%x: tensor<1x4x6xf32>, %i: tensor<2xi64>) {
  // CHECK: nn.gather_elements: operand and indices differ in rank
  %0 = nn.gather_elements %x, %i {axis = 0 : i64} : (tensor<1x4x6xf32>, tensor<2xi64>) -> tensor<2xf32>
  func.return
}

// -----

func.func @gather_elements_size(%x: tensor<1x4x6xf32>, %i: tensor<1x4x7xi64>) {
  // CHECK: nn.gather_elements: 7 indices on axis 2 of size 6
  %0 = nn.gather_elements %x, %i {axis = 0 : i64} : (tensor<1x4x6xf32>, tensor<1x4x7xi64>) -> tensor<1x4x7xf32>
  func.return
}

// -----

func.func @iota_of_booleans() {
  // CHECK: nn.iota: the result must hold integers or floats, got tensor<2xi1>
  %0 = nn.iota {axis = 0 : i64} : tensor<2xi1>
  func.return
}

// -----

func.func @resize_mode(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.resize: unknown mode 'bilinear'
  %0 = nn.resize %x {scales = array<f64>, mode = "bilinear", coordinate_mode = "half_pixel", nearest_mode = "floor"} : (tensor<1x4x6xf32>) -> tensor<1x4x6xf32>
  func.return
}

// -----

func.func @resize_coordinates(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.resize: unknown mode 'corners'
  %0 = nn.resize %x {scales = array<f64>, mode = "linear", coordinate_mode = "corners", nearest_mode = "floor"} : (tensor<1x4x6xf32>) -> tensor<1x4x6xf32>
  func.return
}

// -----

func.func @resize_rank(%x: tensor<1x4x6xf32>) {
  // CHECK: nn.resize: result and scales must have rank 3
  %0 = nn.resize %x {scales = array<f64: 1.0>, mode = "linear", coordinate_mode = "half_pixel", nearest_mode = "floor"} : (tensor<1x4x6xf32>) -> tensor<1x4x6xf32>
  func.return
}
