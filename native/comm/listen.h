// A socket for c10d's store, bound to the address that is meant.
#pragma once
#include <cstdint>
#include <string>

namespace torchforge::comm {

struct Listening {
  int fd;  // of whoever takes it
  uint16_t port;
};

// "localhost", or an address of the loopback interface.
bool isLoopback(const std::string& host);

// Binds to `host`. Where it isn't an address of this machine (a forwarded one), or its name means loopback here while other
// machines are to connect (`local` is false), to all interfaces. Throws when the port is taken.
Listening listenOn(const std::string& host, uint16_t port, bool local);

}  // namespace torchforge::comm
