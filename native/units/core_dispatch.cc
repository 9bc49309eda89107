// Calls of libtorch's operators, and the guards before them.
#include "../core/dispatch.cc"
#include "../core/guards.cc"
#include "../core/guards_backward.cc"
#include "../core/guards_forward.cc"
