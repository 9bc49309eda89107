// Operators of libtorch that end the process on some arguments instead of raising an error: what is missing there is
// checked here, ahead of the call. Found by test/fuzz.test.ts, which passes over none of them.
#include "guards.h"

#include <string_view>
#include <unordered_map>

namespace torchforge {

void chooseGuard(Operator& op) {
  static const auto guards = [] {
    std::unordered_map<std::string_view, Guard> all(forwardGuards().begin(), forwardGuards().end());
    all.insert(backwardGuards().begin(), backwardGuards().end());
    return all;
  }();
  const std::string_view name = op.name;
  auto found = guards.find(name);
  if (found == guards.end()) found = guards.find(name.substr(0, name.find('.')));
  if (found != guards.end()) op.guard = found->second;
  else if (name.starts_with("aten::_foreach_")) op.guard = checkForeach;
  // Kernels for any layout read the memory of an opaque tensor, which is not where theirs would be. Composite operators
  // are taken apart, and each part finds its own kernel.
  op.refusesOpaque = !op.handle.hasKernelForDispatchKey(c10::DispatchKey::MkldnnCPU) &&
                     !op.handle.hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd);
}

}  // namespace torchforge
