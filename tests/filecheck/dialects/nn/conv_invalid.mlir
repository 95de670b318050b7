// RUN: nnc-opt %s --split-input-file --verify-diagnostics | filecheck %s

func.func @no_spatial_axis(%x: tensor<1x3xf32>, %w: tensor<4x3xf32>) {
  // CHECK: nn.conv: the input has no spatial axis
  %0 = nn.conv %x, %w {strides = array<i64>, dilations = array<i64>, padding = #nn.shape<>, layout = "channels_first", groups = 1 : i64} : (tensor<1x3xf32>, tensor<4x3xf32>) -> tensor<1x4xf32>
  func.return
}

// -----

func.func @unknown_layout(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  // CHECK: nn.conv: unknown layout 'nchw'
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "nchw", groups = 1 : i64} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  func.return
}

// -----

func.func @strides_count(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  // CHECK: nn.conv: kernel, strides and dilations need 2 values
  %0 = nn.conv %x, %w {strides = array<i64: 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  func.return
}

// -----

func.func @padding_count(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  // CHECK: nn.conv: padding needs 4 values
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  func.return
}

// -----

func.func @dilation_zero(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  // CHECK: nn.conv: kernel, strides and dilations must be positive
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 0>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  func.return
}

// -----

func.func @padding_negative(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3x3xf32>) {
  // CHECK: nn.conv: negative padding -1
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, -1, 0, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<1x3x8x8xf32>, tensor<4x3x3x3xf32>) -> tensor<1x4x6x6xf32>
  func.return
}

// -----

func.func @filter_rank(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x3xf32>) {
  // CHECK: nn.conv: input and filter differ in rank
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<1x3x8x8xf32>, tensor<4x3x3xf32>) -> tensor<1x4x6x6xf32>
  func.return
}

// -----

func.func @channels(%x: tensor<1x3x8x8xf32>, %w: tensor<4x2x3x3xf32>) {
  // CHECK: nn.conv: 3 input channels, 4 outputs and 1 groups do not fit filter tensor<4x2x3x3xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<1x3x8x8xf32>, tensor<4x2x3x3xf32>) -> tensor<1x4x6x6xf32>
  func.return
}

// -----

func.func @groups(%x: tensor<1x3x8x8xf32>, %w: tensor<4x1x3x3xf32>) {
  // CHECK: nn.conv: 3 input channels, 4 outputs and 3 groups do not fit filter tensor<4x1x3x3xf32>
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_first", groups = 3 : i64} : (tensor<1x3x8x8xf32>, tensor<4x1x3x3xf32>) -> tensor<1x4x6x6xf32>
  func.return
}

// -----

func.func @kernel_size(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x?x3xf32, #nn.shape<4, 3, K, 3>>) {
  // CHECK: nn.conv: the kernel's size must be constant
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<1x3x8x8xf32>, tensor<4x3x?x3xf32, #nn.shape<4, 3, K, 3>>) -> tensor<1x4x6x6xf32>
  func.return
}

// -----

func.func @transposed_channels(%x: tensor<1x3x8x8xf32>, %w: tensor<2x4x3x3xf32>) {
  // CHECK: nn.conv_transpose: 3 input channels in 1 groups do not fit filter tensor<2x4x3x3xf32>
  %0 = nn.conv_transpose %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_first", groups = 1 : i64, output_padding = array<i64: 0, 0>} : (tensor<1x3x8x8xf32>, tensor<2x4x3x3xf32>) -> tensor<1x4x10x10xf32>
  func.return
}

// -----

func.func @output_padding(%x: tensor<1x3x8x8xf32>, %w: tensor<3x4x3x3xf32>) {
  // CHECK: nn.conv_transpose: output_padding needs 2 values >= 0
  %0 = nn.conv_transpose %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_first", groups = 1 : i64, output_padding = array<i64: 0>} : (tensor<1x3x8x8xf32>, tensor<3x4x3x3xf32>) -> tensor<1x4x10x10xf32>
  func.return
}

// -----

func.func @pool_kind(%x: tensor<1x3x8x8xf32>) {
  // CHECK: nn.pool: unknown kind 'l2'
  %0 = nn.pool %x {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_first", kind = "l2", kernel_shape = array<i64: 2, 2>, ceil_mode = false, count_padding = false} : (tensor<1x3x8x8xf32>) -> tensor<1x3x7x7xf32>
  func.return
}
