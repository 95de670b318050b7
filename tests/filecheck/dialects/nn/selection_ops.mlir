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

func.func @compact(%mask: tensor<?xi1, #nn.shape<N>>) -> tensor<1xi64> {
  // CHECK: nn.compact %mask : (tensor<?xi1, #nn.shape<N>>) -> (tensor<?xi64, #nn.shape<N>>, tensor<1xi64>)
  %0, %1 = nn.compact %mask : (tensor<?xi1, #nn.shape<N>>) -> (tensor<?xi64, #nn.shape<N>>, tensor<1xi64>)
  func.return %1 : tensor<1xi64>
}
