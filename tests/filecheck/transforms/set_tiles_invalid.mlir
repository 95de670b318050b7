// RUN: nnc-opt %s -p 'set-tiles{tiles="first:6x4"}' --verify-diagnostics | filecheck %s --check-prefix=NUMBER
// RUN: nnc-opt %s -p 'set-tiles{tiles="0:6"}' --verify-diagnostics | filecheck %s --check-prefix=TEXT
// RUN: nnc-opt %s -p 'set-tiles{all="0x4"}' --verify-diagnostics | filecheck %s --check-prefix=EMPTY
// RUN: nnc-opt %s -p 'set-tiles{all="2x4:diagonal"}' --verify-diagnostics | filecheck %s --check-prefix=ORDER
// RUN: nnc-opt %s -p 'set-tiles{all="2x5"}' --verify-diagnostics | filecheck %s --check-prefix=WIDE

// NUMBER: set-tiles: 'first:6x4' does not begin with the number of a contraction
// TEXT: set-tiles: '6' is no tile; write ROWSxVECTORS[:ORDER]
// EMPTY: set-tiles: nn.tile: 0x4 has no elements
// ORDER: set-tiles: nn.tile: order 'diagonal' is none of auto, rows, columns
// WIDE: set-tiles: 2x5 has more than 4 vectors a row
func.func @main() {
  func.return
}
