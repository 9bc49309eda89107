// Weights stored in fewer bits.
#include "../fused/quantize.cc"
#include "../fused/quantized_linear.cc"
