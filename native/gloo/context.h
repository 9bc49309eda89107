// See algorithm.h: gloo::Context as far as ProcessGroupGloo.hpp mentions it. Never created or measured here.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace gloo {
class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};
}  // namespace gloo
