// RUN: nnc-opt %s | filecheck %s
// RUN: nnc-opt %s | nnc-opt | filecheck %s
// RUN: nnc-opt %s --print-op-generic | nnc-opt | filecheck %s

// CHECK-LABEL: func.func @parts
// CHECK-NEXT:    %{{.*}} = nn.winograd_filter %w {tile = 4 : i64} : (tensor<3x3x8x16xf32>) -> tensor<36x8x16xf32>
// CHECK-NEXT:    %{{.*}} = nn.winograd_input %x {tile = 4 : i64, group = 3 : i64, padding = #nn.shape<1, 1, 1, 1>} : (tensor<1x7x8x8xf32>) -> tensor<2x36x3x8xf32>
// CHECK-NEXT:    %{{.*}} = nn.winograd_product %{{.*}}, %{{.*}} {tile = 4 : i64, image = #nn.shape<1, 7, 8>} : (tensor<2x36x3x8xf32>, tensor<36x8x16xf32>) -> tensor<1x7x8x16xf32>
func.func @parts(%x: tensor<1x7x8x8xf32>, %w: tensor<3x3x8x16xf32>) -> tensor<1x7x8x16xf32> {
  %u = nn.winograd_filter %w {tile = 4 : i64} : (tensor<3x3x8x16xf32>) -> tensor<36x8x16xf32>
  %t = nn.winograd_input %x {tile = 4 : i64, group = 3 : i64, padding = #nn.shape<1, 1, 1, 1>} : (tensor<1x7x8x8xf32>) -> tensor<2x36x3x8xf32>
  %y = nn.winograd_product %t, %u {tile = 4 : i64, image = #nn.shape<1, 7, 8>} : (tensor<2x36x3x8xf32>, tensor<36x8x16xf32>) -> tensor<1x7x8x16xf32>
  func.return %y : tensor<1x7x8x16xf32>
}

// CHECK-LABEL: func.func @free_sizes
// CHECK-NEXT:    %{{.*}} = nn.winograd_input %x {tile = 2 : i64, group = 4 : i64, padding = #nn.shape<0, 0, 0, 0>}
func.func @free_sizes(%x: tensor<?x?x10x8xf32, #nn.shape<N, H, 10, 8>>) {
  %t = nn.winograd_input %x {tile = 2 : i64, group = 4 : i64, padding = #nn.shape<0, 0, 0, 0>} : (tensor<?x?x10x8xf32, #nn.shape<N, H, 10, 8>>) -> tensor<?x16x4x8xf32, #nn.shape<N*((H + 1) floordiv 2) - N, 16, 4, 8>>
  func.return
}
