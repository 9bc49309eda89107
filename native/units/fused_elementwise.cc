// Kernels of one pass over elements: rotary embedding, SwiGLU.
#include "../fused/rotary.cc"
#include "../fused/swiglu.cc"
