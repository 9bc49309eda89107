// See listen.h.
#include "listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <c10/util/Exception.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace torchforge::comm {

namespace {
using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Addresses resolve(const char* host, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int status = getaddrinfo(host, nullptr, &hints, &found);
  return {status == 0 ? found : nullptr, &freeaddrinfo};
}

bool isLoopback(const sockaddr* address) {
  if (address->sa_family == AF_INET)
    return (ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr) >> 24) == 127;
  return address->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
}

void setPort(sockaddr* address, uint16_t port) {
  if (address->sa_family == AF_INET) reinterpret_cast<sockaddr_in*>(address)->sin_port = htons(port);
  else reinterpret_cast<sockaddr_in6*>(address)->sin6_port = htons(port);
}

// -1 and errno where it can't be.
int bound(const addrinfo& one, uint16_t port) {
  const int fd = socket(one.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_storage address{};
  std::memcpy(&address, one.ai_addr, one.ai_addrlen);
  setPort(reinterpret_cast<sockaddr*>(&address), port);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), one.ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0) return fd;
  const int why = errno;
  close(fd);
  errno = why;
  return -1;
}

uint16_t portOf(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.ss_family == AF_INET ? reinterpret_cast<sockaddr_in*>(&address)->sin_port
                                            : reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
}
}  // namespace

bool isLoopback(const std::string& host) {
  if (host == "localhost") return true;
  const Addresses literal = resolve(host.c_str(), AI_NUMERICHOST);
  return literal != nullptr && isLoopback(literal->ai_addr);
}

Listening listenOn(const std::string& host, uint16_t port, bool local) {
  const Addresses meant = resolve(host.c_str(), 0);
  for (const addrinfo* one = meant.get(); one != nullptr; one = one->ai_next) {
    if (isLoopback(one->ai_addr) && !local) continue;
    const int fd = bound(*one, port);
    if (fd >= 0) return {fd, portOf(fd)};
    TORCH_CHECK(errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT, "can't listen on ", host, ":", port, ": ", std::strerror(errno));
  }
  const Addresses every = resolve(nullptr, AI_PASSIVE);
  for (const addrinfo* one = every.get(); one != nullptr; one = one->ai_next) {
    const int fd = bound(*one, port);
    if (fd >= 0) return {fd, portOf(fd)};
    TORCH_CHECK(errno == EAFNOSUPPORT, "can't listen on port ", port, ": ", std::strerror(errno));
  }
  TORCH_CHECK(false, "can't listen on ", host, ":", port, ": no address of this machine");
}

}  // namespace torchforge::comm
