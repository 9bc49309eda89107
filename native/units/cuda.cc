// Launches of the CUDA kernels.
#include "../cuda/nvrtc.cc"
#include "../cuda/runtime.cc"
#include "../cuda/adamw.cc"
#include "../cuda/sum_of_squares.cc"
#include "../cuda/rms_norm.cc"
#include "../cuda/rotary.cc"
#include "../cuda/swiglu.cc"
#include "../cuda/cross_entropy.cc"
