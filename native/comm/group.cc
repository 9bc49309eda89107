// See group.h. Every group has Gloo for CPU tensors; backend "nccl" adds NCCL for CUDA tensors.
#include "group.h"

#include "device.h"
#include "simulated.h"

#include <torch/csrc/distributed/c10d/GroupRegistry.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupWrapper.hpp>

#include <cstdio>
#include <cstdlib>
#include <map>

namespace torchforge::comm {

namespace {
struct GroupTable {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Group>> groups;
};
// Never destroyed: Gloo's threads may outlive static destruction when a process exits in mid-call.
GroupTable& groupTable() {
  static auto* instance = new GroupTable;
  return *instance;
}

c10::intrusive_ptr<c10d::ProcessGroupGloo> createGloo(const c10::intrusive_ptr<c10d::Store>& store, const std::string& host, int rank, int size,
                                                      const GroupOptions& options) {
  auto gloo = c10d::ProcessGroupGloo::Options::create(options.initTimeout);
  gloo->devices = glooDevices(host);
  gloo->group_name = options.name;
  for (int64_t member : options.ranks) gloo->global_ranks_in_group.push_back(static_cast<uint64_t>(member));
  auto made = c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, gloo);
  // The constructor meets the others; from here on it is calls.
  made->setTimeout(options.timeout);
  return made;
}

std::string seconds(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f s", value);
  return text;
}

int rankIn(const GroupOptions& options) {
  for (size_t i = 0; i < options.ranks.size(); ++i) {
    if (options.ranks[i] == options.globalRank) return static_cast<int>(i);
  }
  TORCH_CHECK(false, "rank ", options.globalRank, " is no member of group \"", options.name, "\"");
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

// Gloo's messages without the place in its source and the general advice.
std::string plain(const std::string& cause) {
  const size_t from = cause.starts_with("[/") ? cause.find("] ") : std::string::npos;
  const size_t to = cause.find(" This is typically caused by");
  const size_t begin = from == std::string::npos ? 0 : from + 2;
  return cause.substr(begin, to == std::string::npos ? to : to - begin);
}

const char* kindOf(const std::string& cause) {
  if (contains(cause, "Connection closed by peer") || contains(cause, "Connection reset") ||
      contains(cause, "Broken pipe") || contains(cause, "Connection refused") || contains(cause, "SO_ERROR") ||
      contains(cause, "Socket closed") || contains(cause, "connection was closed")) {
    return "peer";
  }
  if (contains(cause, "imed out") || contains(cause, "imeout")) return "timeout";
  return "other";
}
}  // namespace

std::shared_ptr<Group> Group::create(const std::shared_ptr<Store>& store, GroupOptions options,
                                     std::shared_ptr<Heartbeat> heartbeat) {
  auto result = std::make_shared<Group>();
  const int size = static_cast<int>(options.ranks.size()), rank = rankIn(options);
  result->rank_ = rank;

  const auto connection = store->connect("group/" + options.name);
  connection->setTimeout(options.initTimeout);
  auto group = c10::make_intrusive<c10d::ProcessGroup>(connection, rank, size);
  // Ranks of one machine meet on loopback, where nobody else can reach their sockets.
  const std::string host = store->local() ? "127.0.0.1" : store->host();
  c10::intrusive_ptr<c10d::Backend> gloo = createGloo(connection, host, rank, size, options);
  if (options.verify) {
    auto checkStore = store->connect("group/" + options.name + "/verify");
    gloo = c10::make_intrusive<c10d::ProcessGroupWrapper>(gloo, createGloo(checkStore, host, rank, size, options));
  }
  group->setBackend(at::kCPU, c10d::ProcessGroup::GLOO, gloo);
  if (options.backend == "nccl") {
#ifdef TORCHFORGE_CUDA
    if (store->local()) setenv("NCCL_SOCKET_IFNAME", "lo", 0);
    auto ncclStore = store->connect("group/" + options.name + "/nccl");
    group->setBackend(at::kCUDA, c10d::ProcessGroup::NCCL, createNccl(ncclStore, rank, size, options));
    group->setDefaultBackend(c10d::ProcessGroup::NCCL);
#else
    TORCH_CHECK(false, "this build of the addon has no NCCL: it was compiled for a libtorch without CUDA");
#endif
  } else {
    group->setBackend(at::kCUDA, c10d::ProcessGroup::GLOO, gloo);
    group->setDefaultBackend(c10d::ProcessGroup::GLOO);
  }
  group->setGroupName(options.name);

  result->options_ = std::move(options);
  result->timeoutMs_ = result->options_.timeout.count();
  result->group_ = std::move(group);
  result->heartbeat_ = std::move(heartbeat);
  return keep(std::move(result));
}

std::shared_ptr<Group> Group::simulate(GroupOptions options) {
  auto result = std::make_shared<Group>();
  const int size = static_cast<int>(options.ranks.size());
  result->rank_ = rankIn(options);
  result->group_ = c10::make_intrusive<c10d::ProcessGroup>(result->rank_, size);
  result->group_->setBackend(at::kCPU, c10d::ProcessGroup::CUSTOM, createSimulated(options.name, result->rank_, size));
  result->group_->setDefaultBackend(c10d::ProcessGroup::CUSTOM);
  result->group_->setGroupName(options.name);
  result->options_ = std::move(options);
  return keep(std::move(result));
}

std::shared_ptr<Group> Group::keep(std::shared_ptr<Group> result) {
  std::lock_guard lock(groupTable().mutex);
  TORCH_CHECK(!groupTable().groups.contains(result->options_.name), "there is already a process group named \"",
              result->options_.name, "\"");
  c10d::register_process_group(result->options_.name, result->group_);
  groupTable().groups[result->options_.name] = result;
  return result;
}

std::shared_ptr<Group> Group::find(const std::string& name) {
  std::lock_guard lock(groupTable().mutex);
  const auto found = groupTable().groups.find(name);
  TORCH_CHECK(found != groupTable().groups.end(), "there is no process group named \"", name,
              "\" in this process: it was destroyed, or never created here");
  return found->second;
}

std::shared_ptr<Group> Group::remove(const std::string& name) {
  std::lock_guard lock(groupTable().mutex);
  const auto found = groupTable().groups.find(name);
  if (found == groupTable().groups.end()) return nullptr;
  auto group = std::move(found->second);
  groupTable().groups.erase(found);
  c10d::unregister_process_group(name);
  return group;
}

std::vector<std::string> Group::names() {
  std::lock_guard lock(groupTable().mutex);
  std::vector<std::string> names;
  for (const auto& [name, group] : groupTable().groups) names.push_back(name);
  return names;
}

Group::~Group() {
  if (heartbeat_) heartbeat_->forget(options_.name);
  // Ending it would wait for that call. The process, which can't go on with its run, ends soon.
  if (isAbandoned_) group_.release();
}

void Group::setTimeout(std::chrono::milliseconds timeout) {
  timeoutMs_ = timeout.count();
  // Gloo is told with every call.
  if (options_.backend == "nccl") group_->getBackend(at::kCUDA)->setTimeout(timeout);
}

void Group::requireUsable(const char* operation) {
  std::lock_guard lock(mutex_);
  if (failure_.empty()) return;
  C10_THROW_ERROR(DistBackendError,
                  std::string(operation) + " can't run on process group \"" + options_.name +
                      "\" any more, because an earlier call on it failed. Destroy the group and start again. The earlier failure: " +
                      failure_);
}

Group::Begun Group::begin(const char* operation, const Traced& traced) {
  const uint64_t sequence = ++sequence_;
  ++inFlight_;
  if (heartbeat_) heartbeat_->note(options_.name, sequence, operation, 'r');
  return {sequence, recorder::begin(options_.name, options_.ranks, sequence, true, operation, traced)};
}

Group::Begun Group::beginPointToPoint(const char* operation, const Traced& traced) {
  const uint64_t sequence = ++pointToPoint_;
  return {sequence, recorder::begin(options_.name, options_.ranks, sequence, false, operation, traced)};
}

void Group::end(Begun begun, const char* operation, bool collective) {
  recorder::end(begun.record, false);
  if (!collective) return;
  --inFlight_;
  if (heartbeat_) heartbeat_->note(options_.name, begun.sequence, operation, 'd');
}

std::string Group::refuse(const char* operation, Begun begun, const std::string& cause) {
  recorder::end(begun.record, true);
  end(begun, operation, true);
  const std::string text = std::string(operation) + " on rank " + std::to_string(options_.globalRank) + ", group \"" +
                           options_.name + "\": " + cause;
  recorder::dump(text, true);
  if (recorder::isOn() && heartbeat_) {
    heartbeat_->askForDumps("rank " + std::to_string(options_.globalRank) + ": " + text, true);
  }
  return text;
}

Failure Group::fail(const char* operation, Begun begun, bool collective, double elapsedSeconds,
                    std::chrono::milliseconds timeout, const std::string& cause, bool lost) {
  const uint64_t sequence = begun.sequence;
  Failure failure;
  isAbandoned_ = isAbandoned_ || lost;
  failure.kind = lost ? "peer" : kindOf(cause);
  failure.group = options_.name;
  failure.operation = operation;
  failure.sequence = sequence;
  failure.rank = options_.globalRank;
  failure.elapsedSeconds = elapsedSeconds;
  if (collective) {
    --inFlight_;
    if (heartbeat_) heartbeat_->note(options_.name, sequence, operation, 'f');
  }

  std::string& text = failure.message;
  const std::string call = std::string(operation) + " #" + std::to_string(sequence);
  const std::string where = "rank " + std::to_string(options_.globalRank) + ", group \"" + options_.name + "\" of " +
                            std::to_string(size()) + " ranks";
  const double limit = static_cast<double>(timeout.count()) / 1000;
  if (failure.kind == "timeout") {
    text = call + " timed out on " + where + " after " + seconds(elapsedSeconds) + " (limit " + seconds(limit) + ").";
  } else if (lost) {
    text = call + " failed on " + where + " after " + seconds(elapsedSeconds) + ": " + cause + ".";
  } else if (failure.kind == "peer") {
    text = call + " failed on " + where + " after " + seconds(elapsedSeconds) +
           ": the connection to another rank broke; that rank's process probably ended.";
  } else {
    text = call + " failed on " + where + " after " + seconds(elapsedSeconds) + ": " + plain(cause);
  }
  {
    std::lock_guard lock(mutex_);
    if (failure_.empty()) failure_ = text;
  }
  recorder::end(begun.record, true);
  // At once, and again when more is known: this process may be ended while it asks.
  std::string traces = recorder::dump(text, true, &failure);
  if (recorder::isOn() && heartbeat_) {
    heartbeat_->askForDumps("rank " + std::to_string(options_.globalRank) + ": " + text, true);
  }
  if (failure.kind != "other") {
    Heartbeat::Description found{" unknown (no heartbeat)", {}};
    if (heartbeat_) found = heartbeat_->describePeers(options_.name, sequence, options_.ranks);
    text += "\nThe other ranks:" + found.text;
    traces = recorder::dump(text, true, &failure, found.peers);
  }
  if (!traces.empty()) {
    const std::string folder = traces.substr(0, traces.rfind('/'));
    text += "\nThe last calls of the ranks are in " + folder + ": npx torchforge comm analyze " + folder;
  }
  if (failure.kind == "timeout") {
    text += "\nCheck the log of the rank that is behind or silent; that all ranks call the same collectives in the same"
            " order with the same shapes (initProcessGroup({verify: true}) compares them); and, if a step may take longer"
            " than this, raise timeoutSeconds.";
  } else if (lost) {
    text += "\nCheck that rank's log, and the network between the machines.";
  } else if (failure.kind == "peer") {
    text += "\nCheck that rank's log and the kernel's (out of memory?). libtorch said: " + plain(cause);
  }
  std::lock_guard lock(mutex_);
  if (failure_.size() < text.size()) failure_ = text;
  return failure;
}

}  // namespace torchforge::comm
