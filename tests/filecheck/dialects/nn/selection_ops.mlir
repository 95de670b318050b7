// RUN: nnc-opt %s | nnc-opt | filecheck %s

func.func @scatter(%x: tensor<10x4xf32>, %i: tensor<3xi64>, %u: tensor<3x4xf32>) -> tensor<10x4xf32> {
  // CHECK: nn.scatter %x, %i, %u {combination = "add"} : (tensor<10x4xf32>, tensor<3xi64>, tensor<3x4xf32>) -> tensor<10x4xf32>
  %0 = nn.scatter %x, %i, %u {combination = "add"} : (tensor<10x4xf32>, tensor<3xi64>, tensor<3x4xf32>) -> tensor<10x4xf32>
  func.return %0 : tensor<10x4xf32>
}

func.func @top_k(%x: tensor<2x?xf16, #nn.shape<2, N>>) -> tensor<2x5xi64> {
  // CHECK: nn.top_k %x {count = #nn.shape<5>, largest = true} : (tensor<2x?xf16, #nn.shape<2, N>>) -> (tensor<2x5xf16>, tensor<2x5xi64>)
  %0, %1 = nn.top_k %x {count = #nn.shape<5>, largest = true} : (tensor<2x?xf16, #nn.shape<2, N>>) -> (tensor<2x5xf16>, tensor<2x5xi64>)
  func.return %1 : tensor<2x5xi64>
}

func.func @arg_sort(%x: tensor<5x3xf32>) -> tensor<5xi64> {
  // CHECK: nn.arg_sort %x : (tensor<5x3xf32>) -> tensor<5xi64>
  %0 = nn.arg_sort %x : (tensor<5x3xf32>) -> tensor<5xi64>
  func.return %0 : tensor<5xi64>
}

func.func @non_max_suppression(%b: tensor<2x7x4xf32>, %s: tensor<2x5x7xf32>, %t: tensor<f32>, %l: tensor<i64>) -> tensor<2x5x3xi64> {
  // CHECK: nn.non_max_suppression %b, %s, %t, %t, %l {room = #nn.shape<3>} : (tensor<2x7x4xf32>, tensor<2x5x7xf32>, tensor<f32>, tensor<f32>, tensor<i64>) -> (tensor<2x5x3xi64>, tensor<2x5xi64>, tensor<2x5x4x16xf32>, tensor<2x5x7xi64>)
  %0, %1, %2, %3 = nn.non_max_suppression %b, %s, %t, %t, %l {room = #nn.shape<3>} : (tensor<2x7x4xf32>, tensor<2x5x7xf32>, tensor<f32>, tensor<f32>, tensor<i64>) -> (tensor<2x5x3xi64>, tensor<2x5xi64>, tensor<2x5x4x16xf32>, tensor<2x5x7xi64>)
  func.return %0 : tensor<2x5x3xi64>
}

func.func @regions(%x: tensor<2x7x9x3xf32>, %b: tensor<5x4xf32>, %h: tensor<5x2x2xi64>, %w: tensor<5x4x2xi64>, %i: tensor<5xi64>) {
  // CHECK: nn.roi_align %x, %b, %i {kind = "max", bins = #nn.shape<2, 3>} : (tensor<2x7x9x3xf32>, tensor<5x4xf32>, tensor<5xi64>) -> tensor<5x2x3x3xf32>
  %0 = nn.roi_align %x, %b, %i {kind = "max", bins = #nn.shape<2, 3>} : (tensor<2x7x9x3xf32>, tensor<5x4xf32>, tensor<5xi64>) -> tensor<5x2x3x3xf32>
  // CHECK: nn.roi_max_pool %x, %h, %w, %i : (tensor<2x7x9x3xf32>, tensor<5x2x2xi64>, tensor<5x4x2xi64>, tensor<5xi64>) -> tensor<5x2x4x3xf32>
  %1 = nn.roi_max_pool %x, %h, %w, %i : (tensor<2x7x9x3xf32>, tensor<5x2x2xi64>, tensor<5x4x2xi64>, tensor<5xi64>) -> tensor<5x2x4x3xf32>
  func.return
}

func.func @compact(%mask: tensor<?xi1, #nn.shape<N>>) -> tensor<1xi64> {
  // CHECK: nn.compact %mask : (tensor<?xi1, #nn.shape<N>>) -> (tensor<?xi64, #nn.shape<N>>, tensor<1xi64>)
  %0, %1 = nn.compact %mask : (tensor<?xi1, #nn.shape<N>>) -> (tensor<?xi64, #nn.shape<N>>, tensor<1xi64>)
  func.return %1 : tensor<1xi64>
}
