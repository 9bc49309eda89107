// What Node sees: the addon's functions, tensors, memory, autograd.
#include "../core/addon.cc"
#include "../core/autograd.cc"
#include "../core/env.cc"
#include "../core/errors.cc"
#include "../core/memory.cc"
#include "../core/runtime.cc"
#include "../core/tensor.cc"
