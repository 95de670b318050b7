// RUN: nnc-opt %s -p convert-rt-to-llvm --split-input-file --verify-diagnostics | filecheck %s

// CHECK: the size M depends on 'M', which is not the size of an axis of an input; fix it with input_shapes
func.func @main(%x: !rt.buffer<f32, #nn.shape<N>, #nn.shape<1>>, %y: !rt.buffer<f32, #nn.shape<M>, #nn.shape<1>> {rt.output}) {
  func.return
}
