// RUN: nnc-opt %s -p 'lower-dispatches{target=avx512}' | filecheck %s

// Two groups of two tiles, and two panels of one vector: a task a tile, and four tasks.
// CHECK-LABEL: func.func @main(
func.func @main(%x: !rt.buffer<f32, #nn.shape<1, 7, 7, 16>, #nn.shape<784, 112, 16, 1>>, %t: !rt.buffer<f32, #nn.shape<2, 36, 2, 16>, #nn.shape<1152, 32, 16, 1>>, %w: !rt.buffer<f32, #nn.shape<1, 2, 576, 16>, #nn.shape<18432, 9216, 16, 1>>, %y: !rt.buffer<f32, #nn.shape<1, 7, 7, 32>, #nn.shape<1568, 224, 32, 1>>) {
  // CHECK: rt.launch @tiles_0(%x, %t) {{.*}}tasks = #nn.shape<4>{{.*}}schedule = "tiles"
  rt.dispatch ins(%x : !rt.buffer<f32, #nn.shape<1, 7, 7, 16>, #nn.shape<784, 112, 16, 1>>) outs(%t : !rt.buffer<f32, #nn.shape<2, 36, 2, 16>, #nn.shape<1152, 32, 16, 1>>) {
  ^bb0(%a: tensor<1x7x7x16xf32>):
    %0 = nn.winograd_input %a {tile = 4 : i64, group = 2 : i64, padding = #nn.shape<1, 1, 1, 1>} : (tensor<1x7x7x16xf32>) -> tensor<2x36x2x16xf32>
    nn.yield %0 : tensor<2x36x2x16xf32>
  }
  // CHECK: rt.launch @winograd_0(%t, %w, %y) {{.*}}tasks = #nn.shape<4>{{.*}}schedule = "winograd f4 2x1"
  rt.dispatch ins(%t, %w : !rt.buffer<f32, #nn.shape<2, 36, 2, 16>, #nn.shape<1152, 32, 16, 1>>, !rt.buffer<f32, #nn.shape<1, 2, 576, 16>, #nn.shape<18432, 9216, 16, 1>>) outs(%y : !rt.buffer<f32, #nn.shape<1, 7, 7, 32>, #nn.shape<1568, 224, 32, 1>>) {
  ^bb0(%a: tensor<2x36x2x16xf32>, %p: tensor<1x2x576x16xf32>):
    %u = nn.unpack %p {panel = 16 : i64, groups = 1 : i64} : (tensor<1x2x576x16xf32>) -> tensor<36x16x32xf32>
    %0 = nn.winograd_product %a, %u {tile = 4 : i64, image = #nn.shape<1, 7, 7>} : (tensor<2x36x2x16xf32>, tensor<36x16x32xf32>) -> tensor<1x7x7x32xf32>
    %1 = nn.relu %0 : (tensor<1x7x7x32xf32>) -> tensor<1x7x7x32xf32>
    nn.yield %1 : tensor<1x7x7x32xf32>
  }
  func.return
}
// CHECK-LABEL: func.func @tiles_0
// CHECK-NOT:     simd.contract
// CHECK-LABEL: func.func @winograd_0
// CHECK:         simd.contract
// CHECK-SAME:      tile(2, 1) {width = 16}
// CHECK-NOT:     simd.contract
// CHECK:         simd.max
