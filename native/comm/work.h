// A collective in flight. TypeScript knows it by a number; the table holds it until it is waited for or released.
// Waiting twice gives the same answer. `finish` is the part that can only run once the data is there.
#pragma once
#include "group.h"
#include "watch.h"

#include <functional>

namespace torchforge::comm {

class Work {
 public:
  Work(std::shared_ptr<Group> group, const char* operation, Group::Begun begun, bool collective,
       std::chrono::milliseconds timeout, c10::intrusive_ptr<c10d::Work> inner, std::vector<at::Tensor> tensors,
       std::function<void()> finish);
  ~Work();

  // Blocks; from any thread. Gives the failure, if there was one.
  std::optional<Failure> wait();
  // As wait, but throws: a c10::DistBackendError where another rank didn't come or is gone, else a c10::Error.
  void waitOrThrow();
  // For backends whose wait() only orders streams: polls until the data is there. Then wait() is due on the caller's
  // own thread. True where that is needed.
  bool awaitCompletion();
  bool completed();

 private:
  // Blocks until the call is done, and throws when it failed.
  void await();
  // As await, where a rank may stop giving signs of life long before the time-out; throws Lost then.
  void awaitWatched();
  // Whether one has. Once an interval of the watch.
  bool isLost();

  const std::shared_ptr<Group> group_;
  const char* const operation_;
  const Group::Begun begun_;
  const bool collective_;
  const std::chrono::milliseconds timeout_;
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  c10::intrusive_ptr<c10d::Work> inner_;
  std::vector<at::Tensor> tensors_;  // alive as long as Gloo's threads may write to them
  std::function<void()> finish_;
  std::optional<Watch> watch_;  // where the call may take longer than calls of its group normally do
  std::mutex lostMutex_;
  std::string lost_;            // who gave no sign of life
  std::mutex mutex_;
  bool ended_ = false;
  std::optional<Failure> failure_;
};

int64_t addWork(std::shared_ptr<Work> work);
// Throws when there is none.
std::shared_ptr<Work> findWork(int64_t id);
void releaseWork(int64_t id);
size_t liveWorks();
// How long calls were waited for by now, in all threads: what of communication nothing hides.
double waitedMilliseconds();

}  // namespace torchforge::comm
