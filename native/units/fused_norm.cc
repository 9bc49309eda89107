// RMSNorm, alone and with the sum before it.
#include "../fused/rms_norm.cc"
#include "../fused/add_rms_norm.cc"
