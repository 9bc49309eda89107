// The optimizer's step: the norm of the gradients, AdamW.
#include "../fused/grad_norm.cc"
#include "../fused/adamw.cc"
#include "../fused/adamw_narrow.cc"
