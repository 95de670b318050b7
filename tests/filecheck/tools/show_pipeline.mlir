// RUN: nnc-opt %s -p 'cse,nnc-default{target=avx2}' --show-pipeline | filecheck %s --check-prefix=ALL
// RUN: nnc-opt %s --pipeline='nnc-default{target=avx2}' --stop-after=buffers --show-pipeline | filecheck %s --check-prefix=BUFFERS

// A named pipeline is a list of passes that can be typed as well.

// ALL:           cse,canonicalize-nn
// ALL-SAME:      form-dispatches
// ALL-SAME:      pack-weights{target="avx2"}
// ALL-SAME:      bufferize,
// ALL-SAME:      convert-simd-to-llvm{target="avx2"}

// BUFFERS:       canonicalize-nn
// BUFFERS-SAME:  pack-weights{target="avx2"}
// BUFFERS-SAME:  bufferize
// BUFFERS-NOT:   lower-dispatches

