// See simulated.cc.
#pragma once
#include "group.h"

namespace torchforge::comm {

struct SimulatedCalls {
  std::string group;
  std::string kind;         // all-gather, reduce-scatter, all-reduce, all-to-all, broadcast, reduce, send, receive, barrier
  int64_t calls = 0;
  int64_t bytes = 0;        // of this rank's inputs: for all-to-all what others get of them; of what it receives for receive
  int64_t waitedBytes = 0;  // of calls that were waited for before anything else was computed
};

c10::intrusive_ptr<c10d::Backend> createSimulated(const std::string& group, int rank, int size);
// What was counted since the last time.
std::vector<SimulatedCalls> takeSimulatedCalls();

}  // namespace torchforge::comm
