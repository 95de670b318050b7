// RUN: nnc-opt %s -p convert-rt-to-llvm | filecheck %s

// Words of the table: the first launch has 0 to 4, the second (in the loop) 5 to 9, the
// third (in the branch) 10 to 14. Word 15 is the trip count, 16 the address of the
// boolean; from 17 on stand two updates, of words 8 and 9.
// CHECK: builtin.module attributes {rt.plan = "{{.*}}\22control\22:[
// CHECK: llvm.func internal @nnc_update(%{{.*}}: !llvm.ptr, %{{.*}}: i64, %{{.*}}: i64, %{{.*}}: i64) {
// CHECK: llvm.func @nnc_run(%[[S:.*]]: !llvm.ptr, %[[T:.*]]: !llvm.ptr) {
// CHECK: llvm.call @nnc_launch
// CHECK: llvm.getelementptr %[[T]][15]
// CHECK: llvm.br ^[[HEAD:[a-z0-9]+]](
// CHECK: ^[[HEAD]](%[[I:.*]]: i64, %{{.*}}: i64):
// CHECK: llvm.icmp "slt" %[[I]]
// CHECK: llvm.cond_br
// CHECK: llvm.cond_br
// CHECK: %[[AT:.*]] = llvm.mlir.constant(17) : i64
// CHECK-NEXT: %[[TWO:.*]] = llvm.mlir.constant(2) : i64
// CHECK-NEXT: llvm.call @nnc_update(%[[T]], %[[AT]], %[[TWO]], %[[I]])
// CHECK: llvm.call @nnc_launch
// CHECK: llvm.br ^[[HEAD]](
// CHECK: llvm.getelementptr %[[T]][16]
// CHECK: llvm.inttoptr
// CHECK: llvm.load %{{.*}} : !llvm.ptr -> i8
// CHECK: llvm.cond_br
// CHECK: llvm.call @nnc_launch
// CHECK-NOT: rt.
llvm.func @copy(%slots: !llvm.ptr, %begin: i64, %end: i64) {
  llvm.return
}

func.func @main(%x: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>> {nn.name = "x"}, %t: !rt.buffer<f32, #nn.shape<T>, #nn.shape<1>> {nn.name = "t"}, %c: !rt.buffer<i1, #nn.shape<>, #nn.shape<>> {nn.name = "c"}, %y: !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>> {nn.name = "y", rt.output}) {
  %h = rt.alloc {first = 0, last = 4} : !rt.buffer<f32, #nn.shape<2, 4>, #nn.shape<4, 1>>
  %0 = rt.view %h {offset = #nn.shape<0>} : !rt.buffer<f32, #nn.shape<2, 4>, #nn.shape<4, 1>> -> !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
  rt.launch @copy(%x, %0) {dims = #nn.shape<>, tasks = #nn.shape<1>} : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>, !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
  rt.loop "loop$0" ended "loop$0.n" trips <T> {
    %1 = rt.view %h {offset = #nn.shape<4*(loop$0 mod 2)>} : !rt.buffer<f32, #nn.shape<2, 4>, #nn.shape<4, 1>> -> !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
    %2 = rt.view %h {offset = #nn.shape<-4*(loop$0 mod 2) + 4>} : !rt.buffer<f32, #nn.shape<2, 4>, #nn.shape<4, 1>> -> !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
    rt.launch @copy(%1, %2) {dims = #nn.shape<>, tasks = #nn.shape<1>} : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>, !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
    rt.end
  }
  %3 = rt.view %h {offset = #nn.shape<4*(T mod 2)>} : !rt.buffer<f32, #nn.shape<2, 4>, #nn.shape<4, 1>> -> !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
  rt.if %c : !rt.buffer<i1, #nn.shape<>, #nn.shape<>> {
    rt.launch @copy(%3, %y) {dims = #nn.shape<>, tasks = #nn.shape<1>} : !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>, !rt.buffer<f32, #nn.shape<4>, #nn.shape<1>>
    rt.end
  } else {
    rt.end
  }
  func.return
}
