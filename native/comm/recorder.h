// The flight recorder: the last n calls of this process on its groups, and a dump of them as JSON when a call fails, when
// another rank asks for it through the store (heartbeat.h), or when JavaScript does. Off, it costs a call one load; on, a
// short lock and a few small copies. What dumps of several ranks say together is `forge comm analyze`'s to find.
// Source: PyTorch's flight recorder (c10d/FlightRecorder.hpp, torch.distributed.flight_recorder), of which this is a part.
#pragma once
#include "heartbeat.h"

#include <torch/csrc/distributed/c10d/Work.hpp>

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

namespace torchforge::comm {

struct Failure;

// What a call is made with. Views: of what lives until the call has begun.
struct Traced {
  at::TensorList inputs, outputs;
  std::string_view reduceOp;
  int64_t peer = -1;  // of the group: source, destination
  int64_t tag = 0;
  at::IntArrayRef inputSplits, outputSplits;
};

namespace recorder {

extern std::atomic<bool> active;
inline bool isOn() { return active.load(std::memory_order_relaxed); }

void start(size_t capacity, int rank, int worldSize);
void stop();
// Where dumps go: <folder>/rank-<rank>.json. Before it is known none is written.
void setFolder(const std::string& folder);
// Where in the program the next call of this thread is made.
void setSite(std::string site);

// Gives the call's number, from 1; 0 while the recorder is off.
uint64_t begin(const std::string& group, const std::vector<int64_t>& ranks, uint64_t sequence, bool collective,
               const char* operation, const Traced& traced);
// `pending`: where waiting doesn't wait (NCCL): whether it is completed is asked when a dump is made.
void waiting(uint64_t call, const c10::intrusive_ptr<c10d::Work>& pending);
void end(uint64_t call, bool failed);

// Whether a call is in flight.
bool isBusy();
// Writes the dump and gives its path; empty where there is no folder or it can't be written. Never throws. `final`: after a
// failure, here or on another rank. The calls of the first final dump stay those of all later ones: what the ranks do
// afterwards, each in its own time, is no trace of the cause. With a failure, more may be told of it later.
std::string dump(const std::string& reason, bool final, const Failure* failure = nullptr,
                 const std::vector<Peer>& peers = {});

}  // namespace recorder
}  // namespace torchforge::comm
