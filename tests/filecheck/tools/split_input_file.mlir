// RUN: NNC_ROUNDTRIP
// RUN: NNC_GENERIC_ROUNDTRIP

// CHECK:       func.func @first
// CHECK:       // {{-----}}
// CHECK:       func.func @second

func.func @first() {
  func.return
}

// -----

func.func @second() {
  func.return
}
