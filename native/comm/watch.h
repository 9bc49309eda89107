// Who gives signs of life while a call waits longer than calls normally take. A rank that is slow may keep the others waiting for
// as long as the call allows; one whose process has stopped or whose machine can't be reached, no longer than calls normally do.
#pragma once
#include "heartbeat.h"

#include <future>
#include <map>
#include <optional>

namespace torchforge::comm {

class Watch {
 public:
  // `normal`: how long calls of the group may take. `ranks` are those of the world to look at.
  Watch(std::shared_ptr<Heartbeat> heartbeat, std::vector<int64_t> ranks, std::chrono::milliseconds normal);

  // How often `lost` is to be called while the call waits.
  std::chrono::milliseconds interval() const { return interval_; }
  // Who has given no sign of life for the normal time, in words. Doesn't block: each call judges what the one before asked for.
  std::optional<std::string> lost();

 private:
  struct Peer {
    uint64_t beat = 0;
    int silent = 0;
  };
  const std::shared_ptr<Heartbeat> heartbeat_;
  const std::chrono::milliseconds interval_;
  std::map<int64_t, Peer> peers_;
  // Silence is counted in intervals rather than read from a clock: those in which this process itself was stopped don't count.
  int storeSilent_ = 0;
  std::future<Heartbeat::Beats> asked_;
};

}  // namespace torchforge::comm
