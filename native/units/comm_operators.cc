// Collectives as operators, and their gradients.
#include "../comm/differentiable.cc"
#include "../comm/operators.cc"
#include "../comm/ring_attention.cc"
