// RUN: nnc-opt %s -p canonicalize,cse,dce --verify-numerically --dim N=3 | filecheck %s

// The module is interpreted before and after each pass; nothing changes the answer.

// CHECK:       func.func @main
// CHECK-COUNT-1: nn.add

func.func @main(%x: tensor<?x4xf32, #nn.shape<N, 4>>) -> tensor<?x4xf32, #nn.shape<N, 4>> {
  %0 = nn.add %x, %x : (tensor<?x4xf32, #nn.shape<N, 4>>, tensor<?x4xf32, #nn.shape<N, 4>>) -> tensor<?x4xf32, #nn.shape<N, 4>>
  %1 = nn.add %x, %x : (tensor<?x4xf32, #nn.shape<N, 4>>, tensor<?x4xf32, #nn.shape<N, 4>>) -> tensor<?x4xf32, #nn.shape<N, 4>>
  func.return %0 : tensor<?x4xf32, #nn.shape<N, 4>>
}
