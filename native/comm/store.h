// The key-value store through which ranks find each other: c10d's TCPStore under a key prefix.
// Not for bulk data. Every call may block, so none is made on the JavaScript thread. A c10d connection serves one call
// at a time, and a waiting get would lock out every other call: so each call leases a connection of its own.
#pragma once
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace torchforge::comm {

struct StoreOptions {
  std::string host;
  uint16_t port = 0;  // 0 with server: a free port is chosen
  bool server = false;
  // All ranks are on this machine: the server is reached through loopback alone, also where `host` is this machine's name.
  bool local = false;
  std::chrono::milliseconds timeout{300'000};
  std::string prefix;
};

class Store : public std::enable_shared_from_this<Store> {
 public:
  // Starts the server (if asked) and connects. Throws when nobody answers within the time-out.
  static std::shared_ptr<Store> open(const StoreOptions& options);
  // The same store with a longer prefix; shares the server and the idle connections.
  std::shared_ptr<Store> withPrefix(const std::string& prefix) const;

  const std::string& host() const { return shared_->host; }
  uint16_t port() const { return shared_->port; }
  bool local() const { return shared_->local; }
  std::string address() const { return host() + ":" + std::to_string(port()); }
  std::chrono::milliseconds timeout() const { return shared_->timeout; }

  void set(const std::string& key, const std::string& value);
  std::string get(const std::string& key, std::chrono::milliseconds timeout);
  int64_t add(const std::string& key, int64_t amount);
  // The value after the call: `desired` when the key held `expected`, or was absent and `expected` was empty.
  std::string compareSet(const std::string& key, const std::string& expected, const std::string& desired);
  void wait(const std::vector<std::string>& keys, std::chrono::milliseconds timeout);
  bool check(const std::vector<std::string>& keys);
  bool deleteKey(const std::string& key);
  int64_t numKeys();

  // A connection of its own, for something that lives long (a process group).
  c10::intrusive_ptr<c10d::Store> connect(const std::string& morePrefix) const;

 private:
  struct Shared {
    std::string host;
    uint16_t port = 0;
    bool local = false;
    std::chrono::milliseconds timeout{};
    c10::intrusive_ptr<c10d::Store> root;  // holds the server, where there is one
    std::atomic<bool> broke{false};        // a connection did: the host is gone, or can't be reached
    std::mutex mutex;
    std::vector<c10::intrusive_ptr<c10d::Store>> idle;
  };

  template <class F>
  auto withConnection(F&& body);
  // Another connection. Where one broke the host gets a moment to answer, not the time-out for which others may come late.
  c10::intrusive_ptr<c10d::Store> dial() const;
  std::string full(const std::string& key) const { return prefix_.empty() ? key : prefix_ + "/" + key; }

  std::shared_ptr<Shared> shared_;
  std::string prefix_;
};

}  // namespace torchforge::comm
