// What Gloo's sockets are bound to.
#pragma once
#include <gloo/transport/device.h>

#include <memory>
#include <string>
#include <vector>

namespace torchforge::comm {

// Of the process: each device owns a thread and its sockets' event loop. The interfaces that GLOO_SOCKET_IFNAME names, separated by
// commas; else the address by which this machine reaches `host`, where the store is: the others reach this one by it, too, which
// they don't by the machine's name where that is a loopback address (Debian's 127.0.1.1).
const std::vector<std::shared_ptr<gloo::transport::Device>>& glooDevices(const std::string& host);

}  // namespace torchforge::comm
