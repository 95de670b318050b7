// RUN: nnc-opt %s -p eliminate-common-ops | filecheck %s

// CHECK-LABEL: func.func @equal_ops_of_two_nodes_are_one
// CHECK-NEXT:    %[[EXP:.*]] = nn.exp %x {loc_name = "a"}
// CHECK-NEXT:    nn.add %[[EXP]], %[[EXP]]
func.func @equal_ops_of_two_nodes_are_one(%x: tensor<2xf32>) -> tensor<2xf32> {
  %0 = nn.exp %x {loc_name = "a"} : (tensor<2xf32>) -> tensor<2xf32>
  %1 = nn.exp %x {loc_name = "b"} : (tensor<2xf32>) -> tensor<2xf32>
  %2 = nn.add %0, %1 : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
  func.return %2 : tensor<2xf32>
}

// CHECK-LABEL: func.func @ops_with_other_properties_stay_two
// CHECK-NEXT:    nn.clamp
// CHECK-NEXT:    nn.clamp
func.func @ops_with_other_properties_stay_two(%x: tensor<2xf32>) -> tensor<2xf32> {
  %0 = nn.clamp %x {max = 1.0 : f64} : (tensor<2xf32>) -> tensor<2xf32>
  %1 = nn.clamp %x {max = 2.0 : f64} : (tensor<2xf32>) -> tensor<2xf32>
  %2 = nn.add %0, %1 : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
  func.return %2 : tensor<2xf32>
}

// CHECK-LABEL: func.func @ops_of_a_dispatch_merge_inside
// CHECK:         nn.dispatch
// CHECK:         nn.exp
// CHECK-NOT:     nn.exp
// CHECK:         nn.yield
func.func @ops_of_a_dispatch_merge_inside(%x: tensor<2xf32>) -> tensor<2xf32> {
  %0 = nn.dispatch(%x) : (tensor<2xf32>) -> tensor<2xf32> {
  ^bb0(%a: tensor<2xf32>):
    %1 = nn.exp %a : (tensor<2xf32>) -> tensor<2xf32>
    %2 = nn.exp %a : (tensor<2xf32>) -> tensor<2xf32>
    %3 = nn.add %1, %2 : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    nn.yield %3 : tensor<2xf32>
  }
  func.return %0 : tensor<2xf32>
}
