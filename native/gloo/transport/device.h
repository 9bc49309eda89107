// See ../algorithm.h: names of gloo's transport layer, left incomplete.
#pragma once

namespace gloo::transport {
class Device;
class UnboundBuffer;
class Context;
}  // namespace gloo::transport
