// RUN: nnc-opt %s -p choose-layout,canonicalize-nn | filecheck %s

// Transposes stay at the borders and at the weights only.
// CHECK-LABEL: func.func @body_is_channels_last
// CHECK-DAG:     %[[X:.*]] = nn.transpose %x {permutation = array<i64: 0, 2, 3, 1>}
// CHECK-DAG:     %[[W:.*]] = nn.transpose %w {permutation = array<i64: 2, 3, 1, 0>}
// CHECK:         %[[CONV:.*]] = nn.conv %[[X]], %[[W]] {{.*}}layout = "channels_last"
// CHECK:         %[[RELU:.*]] = nn.relu %[[CONV]]
// CHECK-NOT:     nn.transpose %[[RELU]]
// CHECK:         %[[POOL:.*]] = nn.pool %[[RELU]] {{.*}}layout = "channels_last"
// CHECK:         nn.transpose %[[POOL]] {permutation = array<i64: 0, 3, 1, 2>}
// CHECK-NEXT:    func.return
func.func @body_is_channels_last(%x: tensor<1x3x8x8xf32>, %w: tensor<4x3x1x1xf32>) -> tensor<1x4x4x4xf32> {
  %0 = nn.conv %x, %w {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_first", groups = 1 : i64} : (tensor<1x3x8x8xf32>, tensor<4x3x1x1xf32>) -> tensor<1x4x8x8xf32>
  %1 = nn.relu %0 : (tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %2 = nn.pool %1 {strides = array<i64: 2, 2>, dilations = array<i64: 1, 1>, padding = #nn.shape<0, 0, 0, 0>, layout = "channels_first", kind = "max", kernel_shape = array<i64: 2, 2>, ceil_mode = false, count_padding = false} : (tensor<1x4x8x8xf32>) -> tensor<1x4x4x4xf32>
  func.return %2 : tensor<1x4x4x4xf32>
}

// Squeeze and excite: pooling, a gate, and the product with what was pooled.
// CHECK-LABEL: func.func @gate_follows
// CHECK:         nn.pool
// CHECK-NEXT:    %[[MEAN:.*]] = nn.reduce {{.*}}axes = array<i64: 1, 2>
// CHECK-NEXT:    %[[GATE:.*]] = nn.sigmoid %[[MEAN]]
// CHECK-NEXT:    nn.broadcast %[[GATE]] : {{.*}} -> tensor<1x8x8x4xf32>
// CHECK-NEXT:    nn.mul {{.*}} -> tensor<1x8x8x4xf32>
// CHECK-NEXT:    nn.transpose
// CHECK-NEXT:    func.return
func.func @gate_follows(%x: tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32> {
  %0 = nn.pool %x {strides = array<i64: 1, 1>, dilations = array<i64: 1, 1>, padding = #nn.shape<1, 1, 1, 1>, layout = "channels_first", kind = "max", kernel_shape = array<i64: 3, 3>, ceil_mode = false, count_padding = false} : (tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  %1 = nn.reduce %0 {kind = "sum", axes = array<i64: 2, 3>, keep_dims = true} : (tensor<1x4x8x8xf32>) -> tensor<1x4x1x1xf32>
  %2 = nn.sigmoid %1 : (tensor<1x4x1x1xf32>) -> tensor<1x4x1x1xf32>
  %3 = nn.broadcast %2 : (tensor<1x4x1x1xf32>) -> tensor<1x4x8x8xf32>
  %4 = nn.mul %0, %3 : (tensor<1x4x8x8xf32>, tensor<1x4x8x8xf32>) -> tensor<1x4x8x8xf32>
  func.return %4 : tensor<1x4x8x8xf32>
}

// Axes of concat, slice and pad are those of the other layout.
// CHECK-LABEL: func.func @axes_move
// CHECK:         nn.concat {{.*}} {axis = 2 : i64}
// CHECK-NEXT:    nn.slice {{.*}} {offsets = #nn.shape<0, 1, 2>
// CHECK-NEXT:    nn.pad {{.*}} {low = #nn.shape<0, 1, 2>, high = #nn.shape<0, 3, 4>
func.func @axes_move(%x: tensor<1x4x8xf32>) -> tensor<1x12x8xf32> {
  %0 = nn.pool %x {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_first", kind = "max", kernel_shape = array<i64: 3>, ceil_mode = false, count_padding = false} : (tensor<1x4x8xf32>) -> tensor<1x4x6xf32>
  %1 = nn.concat %0, %0 {axis = 1 : i64} : (tensor<1x4x6xf32>, tensor<1x4x6xf32>) -> tensor<1x8x6xf32>
  %2 = nn.slice %1 {offsets = #nn.shape<0, 2, 1>, steps = array<i64: 1, 1, 1>} : (tensor<1x8x6xf32>) -> tensor<1x6x4xf32>
  %3 = nn.pad %2 {low = #nn.shape<0, 2, 1>, high = #nn.shape<0, 4, 3>, mode = "constant"} : (tensor<1x6x4xf32>) -> tensor<1x12x8xf32>
  func.return %3 : tensor<1x12x8xf32>
}

// CHECK-LABEL: func.func @channel_shuffle_is_done_on_the_last_axis
// CHECK:         %[[POOL:.*]] = nn.pool
// CHECK-NEXT:    %[[SPLIT:.*]] = nn.reshape %[[POOL]] {{.*}} -> tensor<1x8x2x3xf32>
// CHECK-NEXT:    %[[MOVED:.*]] = nn.transpose %[[SPLIT]] {permutation = array<i64: 0, 1, 3, 2>}
// CHECK-NEXT:    %[[MERGED:.*]] = nn.reshape %[[MOVED]] {{.*}} -> tensor<1x8x6xf32>
// CHECK-NEXT:    nn.pool %[[MERGED]]
func.func @channel_shuffle_is_done_on_the_last_axis(%x: tensor<1x6x8xf32>) -> tensor<1x6x8xf32> {
  %0 = nn.pool %x {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<1, 1>, layout = "channels_first", kind = "max", kernel_shape = array<i64: 3>, ceil_mode = false, count_padding = false} : (tensor<1x6x8xf32>) -> tensor<1x6x8xf32>
  %1 = nn.reshape %0 : (tensor<1x6x8xf32>) -> tensor<1x2x3x8xf32>
  %2 = nn.transpose %1 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<1x2x3x8xf32>) -> tensor<1x3x2x8xf32>
  %3 = nn.reshape %2 : (tensor<1x3x2x8xf32>) -> tensor<1x6x8xf32>
  %4 = nn.pool %3 {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<1, 1>, layout = "channels_first", kind = "max", kernel_shape = array<i64: 3>, ceil_mode = false, count_padding = false} : (tensor<1x6x8xf32>) -> tensor<1x6x8xf32>
  func.return %4 : tensor<1x6x8xf32>
}

// Pixels change places as well.
// CHECK-LABEL: func.func @shuffle_with_pixels_reads_the_old_layout
// CHECK:         %[[POOL:.*]] = nn.pool
// CHECK-NOT:     tensor<1x8x2x3xf32>
// CHECK:         nn.transpose {{.*}} -> tensor<3x16xf32>
func.func @shuffle_with_pixels_reads_the_old_layout(%x: tensor<1x6x8xf32>) -> tensor<1x6x8xf32> {
  %0 = nn.pool %x {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<1, 1>, layout = "channels_first", kind = "max", kernel_shape = array<i64: 3>, ceil_mode = false, count_padding = false} : (tensor<1x6x8xf32>) -> tensor<1x6x8xf32>
  %1 = nn.reshape %0 : (tensor<1x6x8xf32>) -> tensor<1x2x24xf32>
  %2 = nn.transpose %1 {permutation = array<i64: 0, 2, 1>} : (tensor<1x2x24xf32>) -> tensor<1x24x2xf32>
  %3 = nn.reshape %2 : (tensor<1x24x2xf32>) -> tensor<1x6x8xf32>
  func.return %3 : tensor<1x6x8xf32>
}

// Flattening reads pixels in row-major order of channels-first axes.
// CHECK-LABEL: func.func @reshape_reads_the_old_layout
// CHECK:         %[[POOL:.*]] = nn.pool
// CHECK-NEXT:    %[[BACK:.*]] = nn.transpose %[[POOL]] {permutation = array<i64: 0, 2, 1>}
// CHECK-NEXT:    nn.reshape %[[BACK]] : {{.*}} -> tensor<1x24xf32>
func.func @reshape_reads_the_old_layout(%x: tensor<1x4x8xf32>) -> tensor<1x24xf32> {
  %0 = nn.pool %x {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_first", kind = "max", kernel_shape = array<i64: 3>, ceil_mode = false, count_padding = false} : (tensor<1x4x8xf32>) -> tensor<1x4x6xf32>
  %1 = nn.reshape %0 : (tensor<1x4x6xf32>) -> tensor<1x24xf32>
  func.return %1 : tensor<1x24xf32>
}

// CHECK-LABEL: func.func @without_windows_nothing_moves
// CHECK-NEXT:    nn.relu %x
// CHECK-NEXT:    func.return
func.func @without_windows_nothing_moves(%x: tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32> {
  %0 = nn.relu %x : (tensor<1x3x8x8xf32>) -> tensor<1x3x8x8xf32>
  func.return %0 : tensor<1x3x8x8xf32>
}

// CHECK-LABEL: func.func @channels_last_model_stays
// CHECK-NEXT:    nn.pool %x
// CHECK-NEXT:    func.return
func.func @channels_last_model_stays(%x: tensor<1x8x4xf32>) -> tensor<1x6x4xf32> {
  %0 = nn.pool %x {strides = array<i64: 1>, dilations = array<i64: 1>, padding = #nn.shape<0, 0>, layout = "channels_last", kind = "max", kernel_shape = array<i64: 3>, ceil_mode = false, count_padding = false} : (tensor<1x8x4xf32>) -> tensor<1x6x4xf32>
  func.return %0 : tensor<1x6x4xf32>
}
