// Products with what comes before or after them.
#include "../fused/linear.cc"
#include "../fused/add_linear.cc"
#include "../fused/norm_linear.cc"
#include "../fused/swiglu_linear.cc"
#include "../fused/products.cc"
