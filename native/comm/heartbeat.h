// What each rank is doing, told to the others about twice a second through the store, so that an error can say who is
// missing. A thread of its own: a rank whose JavaScript is busy still beats. Costs the collectives one short lock.
#pragma once
#include "store.h"

#include <memory>
#include <string>
#include <vector>

namespace torchforge::comm {

class Heartbeat {
 public:
  Heartbeat(std::shared_ptr<Store> store, int rank, int worldSize);
  ~Heartbeat() { stop(); }
  // Ends the thread, waiting at most a second for it: the store may be on a machine that vanished. Idempotent.
  void stop();

  // `state` is one of r(unning), d(one), f(ailed).
  void note(const std::string& group, uint64_t sequence, const char* operation, char state);
  void forget(const std::string& group);

  // One line a peer: where it is relative to this call, or that it shows no sign of life. Takes at most a few seconds
  // and never throws. `ranks` are ranks of the world.
  std::string describePeers(const std::string& group, uint64_t sequence, const std::vector<int64_t>& ranks);

 private:
  struct State;  // shared with the thread, which may outlive this object
  static void run(const std::shared_ptr<State>& state);
  const std::shared_ptr<State> state_;
};

}  // namespace torchforge::comm
