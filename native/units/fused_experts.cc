// Experts and their grouped products, and the shapes of every fused operator.
#include "../fused/expert_mlp.cc"
#include "../fused/grouped.cc"
#include "../fused/meta.cc"
