// A process group: some ranks of the world, numbered from 0, that do collectives together in the same order. It holds
// the c10d group, its sequence number and its failure: after one failed call a group's streams are out of step, so
// every later call on it fails at once, saying why.
#pragma once
#include "heartbeat.h"
#include "recorder.h"

#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <atomic>
#include <mutex>
#include <optional>

namespace torchforge::comm {

// What a failed wait says. `kind` is "timeout", "peer" (a connection broke) or "other".
struct Failure {
  std::string kind;
  std::string message;
  std::string group;
  std::string operation;
  uint64_t sequence = 0;
  int64_t rank = 0;
  double elapsedSeconds = 0;
};

struct GroupOptions {
  std::string name;
  std::string backend;         // gloo | nccl
  int64_t globalRank = 0;      // of this process in the world
  std::vector<int64_t> ranks;  // of the world; this process's place in it is its rank in the group
  std::chrono::milliseconds timeout{300'000};      // of a call
  std::chrono::milliseconds initTimeout{300'000};  // of the members' meeting
  bool verify = false;  // compare every call's shape, dtype and operation among the ranks first (slow; finds mismatches)
  int device = -1;      // nccl: the CUDA device
};

class Group {
 public:
  // Blocks until every member has connected. `heartbeat` may be null for a group made before the world has one.
  static std::shared_ptr<Group> create(const std::shared_ptr<Store>& store, GroupOptions options,
                                       std::shared_ptr<Heartbeat> heartbeat);
  // A group whose other members aren't there: see simulated.h.
  static std::shared_ptr<Group> simulate(GroupOptions options);
  // Throws, naming the group, when there is none.
  static std::shared_ptr<Group> find(const std::string& name);
  // Takes the group out of the table; the caller's reference ends it, which may block while calls are in flight.
  static std::shared_ptr<Group> remove(const std::string& name);
  static std::vector<std::string> names();
  ~Group();

  c10d::ProcessGroup& c10d() { return *group_; }
  const GroupOptions& options() const { return options_; }
  int rank() const { return rank_; }
  int size() const { return static_cast<int>(options_.ranks.size()); }
  bool blocking() const { return options_.backend == "gloo"; }  // waiting ends only when the data has arrived
  // Of a call that doesn't say otherwise.
  std::chrono::milliseconds timeout() const { return std::chrono::milliseconds(timeoutMs_); }
  void setTimeout(std::chrono::milliseconds timeout);
  bool busy() const { return inFlight_ > 0; }
  const std::shared_ptr<Heartbeat>& heartbeat() const { return heartbeat_; }

  // Throws when an earlier call failed.
  void requireUsable(const char* operation);
  // A call's numbers: in the group, and in the flight recorder.
  struct Begun {
    uint64_t sequence;
    uint64_t record;
  };
  Begun begin(const char* operation, const Traced& traced);
  Begun beginPointToPoint(const char* operation, const Traced& traced);
  void end(Begun begun, const char* operation, bool collective);
  // Describes a failure, tells the other ranks of it and closes the group for later calls.
  // `lost`: the call didn't fail itself; the cause says which rank it would wait for in vain.
  Failure fail(const char* operation, Begun begun, bool collective, double elapsedSeconds,
               std::chrono::milliseconds timeout, const std::string& cause, bool lost);
  // A call that was refused before anything was sent: the group stays usable. Gives the message.
  std::string refuse(const char* operation, Begun begun, const std::string& cause);

 private:
  static std::shared_ptr<Group> keep(std::shared_ptr<Group> made);

  GroupOptions options_;
  int rank_ = 0;
  c10::intrusive_ptr<c10d::ProcessGroup> group_;
  std::shared_ptr<Heartbeat> heartbeat_;
  std::atomic<int64_t> timeoutMs_{0};
  std::atomic<uint64_t> sequence_{0};
  std::atomic<uint64_t> pointToPoint_{0};
  std::atomic<int> inFlight_{0};
  std::mutex mutex_;
  std::string failure_;
  std::atomic<bool> isAbandoned_{false};  // a call that nobody waits for any more is in the hands of Gloo's threads
};

#ifdef TORCHFORGE_CUDA
// In nccl.cc, the one file that needs CUDA's and NCCL's headers.
c10::intrusive_ptr<c10d::Backend> createNccl(const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
                                             const GroupOptions& options);
#endif

}  // namespace torchforge::comm
