// See watch.h.
#include "watch.h"

#include <algorithm>
#include <cstdio>

namespace torchforge::comm {

namespace {
// So many intervals of silence are the normal time.
constexpr int kIntervals = 8;

std::string inSeconds(std::chrono::milliseconds time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f s", std::chrono::duration<double>(time).count());
  return text;
}
}  // namespace

Watch::Watch(std::shared_ptr<Heartbeat> heartbeat, std::vector<int64_t> ranks, std::chrono::milliseconds normal)
    : heartbeat_(std::move(heartbeat)), interval_(std::max(normal / kIntervals, heartbeat_->interval())) {
  for (int64_t rank : ranks) {
    if (rank != heartbeat_->rank()) peers_[rank] = {};
  }
}

std::optional<std::string> Watch::lost() {
  if (asked_.valid()) {
    Heartbeat::Beats beats;
    if (asked_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) beats = asked_.get();
    storeSilent_ = beats ? 0 : storeSilent_ + 1;
    if (beats) {
      for (auto& [rank, peer] : peers_) {
        const uint64_t beat = (*beats)[rank];
        peer.silent = beat == peer.beat ? peer.silent + 1 : 0;
        peer.beat = beat;
      }
    }
  }
  const std::string time = inSeconds(interval_ * kIntervals);
  if (storeSilent_ >= kIntervals) {
    return "the store at " + heartbeat_->address() + " hasn't answered for " + time +
           ": the process that hosts it (usually rank 0, or the launcher) is gone, or its machine can't be reached";
  }
  std::string silent;
  int count = 0;
  for (const auto& [rank, peer] : peers_) {
    if (peer.silent < kIntervals) continue;
    silent += (count++ == 0 ? "" : ", ") + std::to_string(rank);
  }
  if (count > 0) {
    return (count == 1 ? "rank " + silent + " has" : "ranks " + silent + " have") + " given no sign of life for " + time +
           ": its process ended or is stopped, or its machine can't be reached";
  }
  std::vector<int64_t> ranks;
  for (const auto& [rank, peer] : peers_) ranks.push_back(rank);
  // Anew each time: the connection of an asking that got no answer may be broken, and is left to it.
  asked_ = heartbeat_->beats(std::move(ranks));
  return std::nullopt;
}

}  // namespace torchforge::comm
