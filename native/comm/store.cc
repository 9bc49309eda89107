// See store.h. Prefixes are joined here rather than by PrefixStore, so that connections can be shared among prefixes.
#include "store.h"

#include "listen.h"

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>

namespace torchforge::comm {

namespace {
std::vector<uint8_t> bytes(const std::string& text) { return {text.begin(), text.end()}; }
std::string text(const std::vector<uint8_t>& value) { return {value.begin(), value.end()}; }
}  // namespace

std::shared_ptr<Store> Store::open(const StoreOptions& options) {
  c10d::TCPStoreOptions tcp;
  tcp.port = options.port;
  tcp.isServer = options.server;
  tcp.waitWorkers = false;
  tcp.timeout = options.timeout;
  const bool local = options.local || isLoopback(options.host);
  // c10d itself would listen on every interface.
  if (options.server) {
    const Listening listening = listenOn(options.host, options.port, local);
    tcp.masterListenFd = listening.fd;
    tcp.port = listening.port;
  }
  auto root = c10::make_intrusive<c10d::TCPStore>(options.host, tcp);
  auto store = std::make_shared<Store>();
  store->shared_ = std::make_shared<Shared>();
  store->shared_->host = options.host;
  store->shared_->port = root->getPort();
  store->shared_->local = local;
  store->shared_->timeout = options.timeout;
  store->shared_->root = root;
  store->shared_->idle.push_back(std::move(root));
  store->prefix_ = options.prefix;
  return store;
}

std::shared_ptr<Store> Store::withPrefix(const std::string& prefix) const {
  auto store = std::make_shared<Store>();
  store->shared_ = shared_;
  store->prefix_ = full(prefix);
  return store;
}

template <class F>
auto Store::withConnection(F&& body) {
  c10::intrusive_ptr<c10d::Store> connection;
  {
    std::lock_guard lock(shared_->mutex);
    if (!shared_->idle.empty()) {
      connection = std::move(shared_->idle.back());
      shared_->idle.pop_back();
    }
  }
  if (!connection) connection = dial();
  // A connection whose call threw isn't put back: after a time-out its stream may hold a late answer.
  try {
    if constexpr (std::is_void_v<decltype(body(*connection))>) {
      body(*connection);
      std::lock_guard lock(shared_->mutex);
      shared_->idle.push_back(std::move(connection));
    } else {
      auto result = body(*connection);
      std::lock_guard lock(shared_->mutex);
      shared_->idle.push_back(std::move(connection));
      return result;
    }
  } catch (const c10::DistNetworkError&) {
    shared_->broke = true;
    throw;
  }
}

c10::intrusive_ptr<c10d::Store> Store::dial() const {
  if (!shared_->broke) return shared_->root->clone();
  constexpr std::chrono::milliseconds kMoment{2000};
  c10d::TCPStoreOptions tcp;
  tcp.port = shared_->port;
  tcp.waitWorkers = false;
  tcp.timeout = std::min(shared_->timeout, kMoment);
  try {
    auto found = c10::make_intrusive<c10d::TCPStore>(shared_->host, tcp);
    found->setTimeout(shared_->timeout);
    shared_->broke = false;
    return found;
  } catch (const c10::DistNetworkError&) {
    TORCH_CHECK(false, "the store at ", address(),
                " doesn't answer any more: the process that hosts it (usually rank 0, or the launcher) is gone");
  }
}

void Store::set(const std::string& key, const std::string& value) {
  withConnection([&](c10d::Store& store) { store.set(full(key), bytes(value)); });
}

std::string Store::get(const std::string& key, std::chrono::milliseconds timeout) {
  return withConnection([&](c10d::Store& store) {
    store.wait({full(key)}, timeout);
    return text(store.get(full(key)));
  });
}

int64_t Store::add(const std::string& key, int64_t amount) {
  return withConnection([&](c10d::Store& store) { return store.add(full(key), amount); });
}

std::string Store::compareSet(const std::string& key, const std::string& expected, const std::string& desired) {
  return withConnection(
      [&](c10d::Store& store) { return text(store.compareSet(full(key), bytes(expected), bytes(desired))); });
}

void Store::wait(const std::vector<std::string>& keys, std::chrono::milliseconds timeout) {
  std::vector<std::string> fullKeys;
  for (const auto& key : keys) fullKeys.push_back(full(key));
  withConnection([&](c10d::Store& store) { store.wait(fullKeys, timeout); });
}

bool Store::check(const std::vector<std::string>& keys) {
  std::vector<std::string> fullKeys;
  for (const auto& key : keys) fullKeys.push_back(full(key));
  return withConnection([&](c10d::Store& store) { return store.check(fullKeys); });
}

bool Store::deleteKey(const std::string& key) {
  return withConnection([&](c10d::Store& store) { return store.deleteKey(full(key)); });
}

int64_t Store::numKeys() {
  return withConnection([&](c10d::Store& store) { return store.getNumKeys(); });
}

c10::intrusive_ptr<c10d::Store> Store::connect(const std::string& morePrefix) const {
  return c10::make_intrusive<c10d::PrefixStore>(full(morePrefix), dial());
}

}  // namespace torchforge::comm
