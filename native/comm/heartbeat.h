// What each rank is doing, told to the others about twice a second through the store, so that an error can say who is
// missing. A thread of its own: a rank whose JavaScript is busy still beats. Costs the collectives one short lock.
#pragma once
#include "store.h"

#include <future>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace torchforge::comm {

// What the store knows of another rank and one group.
struct Peer {
  int64_t rank = 0;
  bool joined = false;  // whether it ever told something
  bool alive = false;
  bool known = false;   // whether it told of the group: then the rest says of which call
  uint64_t sequence = 0;
  char state = 'r';
  std::string operation;
};

class Heartbeat {
 public:
  Heartbeat(std::shared_ptr<Store> store, int rank, int worldSize);
  ~Heartbeat() { stop(); }
  // Ends the thread, waiting at most a second for it: the store may be on a machine that vanished. Idempotent.
  void stop();

  // `state` is one of r(unning), d(one), f(ailed).
  void note(const std::string& group, uint64_t sequence, const char* operation, char state);
  void forget(const std::string& group);

  struct Description {
    std::string text;  // one line a peer: where it is relative to the call, or that it shows no sign of life
    std::vector<Peer> peers;
  };
  // Takes at most a few seconds and never throws. `ranks` are ranks of the world.
  Description describePeers(const std::string& group, uint64_t sequence, const std::vector<int64_t>& ranks);

  // Each rank's beat number, 0 where it never joined; nothing where the store doesn't answer. Doesn't block; a store on a machine that
  // vanished may leave the future without a value.
  using Beats = std::optional<std::map<int64_t, uint64_t>>;
  std::future<Beats> beats(std::vector<int64_t> ranks) const;
  int64_t rank() const;
  // How often ranks beat.
  std::chrono::milliseconds interval() const;
  std::string address() const;

  // With the flight recorder: asks all ranks to write down what they have, within about a beat. Doesn't wait.
  void askForDumps(const std::string& reason, bool final);

 private:
  struct State;  // shared with the thread, which may outlive this object
  static void run(const std::shared_ptr<State>& state);
  const std::shared_ptr<State> state_;
};

}  // namespace torchforge::comm
