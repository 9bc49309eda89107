// See device.h.
#include "device.h"

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>

namespace torchforge::comm {

namespace {
// As text; empty where it can't be told. Connecting a datagram socket sends nothing: it chooses a route.
std::string addressTowards(const std::string& host) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), "9", &hints, &found) != 0) return "";
  std::string address;
  for (const addrinfo* one = found; one != nullptr && address.empty(); one = one->ai_next) {
    const int fd = socket(one->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;
    sockaddr_storage own{};
    socklen_t length = sizeof own;
    char text[NI_MAXHOST];
    if (connect(fd, one->ai_addr, one->ai_addrlen) == 0 && getsockname(fd, reinterpret_cast<sockaddr*>(&own), &length) == 0 &&
        getnameinfo(reinterpret_cast<sockaddr*>(&own), length, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0) {
      address = text;
    }
    close(fd);
  }
  freeaddrinfo(found);
  return address;
}

std::vector<std::shared_ptr<gloo::transport::Device>> makeDevices(const std::string& host) {
  std::vector<std::shared_ptr<gloo::transport::Device>> devices;
  if (const char* names = std::getenv("GLOO_SOCKET_IFNAME"); names != nullptr && *names != '\0') {
    std::istringstream list(names);
    for (std::string name; std::getline(list, name, ',');)
      devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface(name));
    return devices;
  }
  const std::string address = addressTowards(host);
  devices.push_back(address.empty() ? c10d::ProcessGroupGloo::createDefaultDevice()
                                    : c10d::ProcessGroupGloo::createDeviceForHostname(address));
  return devices;
}
}  // namespace

const std::vector<std::shared_ptr<gloo::transport::Device>>& glooDevices(const std::string& host) {
  // Never destroyed: Gloo's threads may outlive static destruction when a process exits in mid-call.
  static auto* instance = new auto(makeDevices(host));
  return *instance;
}

}  // namespace torchforge::comm
