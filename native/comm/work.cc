// See work.h.
#include "work.h"

#include <atomic>
#include <future>
#include <thread>
#include <unordered_map>

namespace torchforge::comm {

namespace {
struct WorkTable {
  std::mutex mutex;
  int64_t next = 1;
  std::unordered_map<int64_t, std::shared_ptr<Work>> works;
};
// Never destroyed, as the groups' table: see group.cc.
WorkTable& workTable() {
  static auto* instance = new WorkTable;
  return *instance;
}

// Gloo's own time-out says more than ours; ours is only there for a call that never got to run.
constexpr std::chrono::milliseconds kGrace{1000};

std::atomic<int64_t> waitedNanoseconds{0};

// Who gave no sign of life.
struct Lost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

std::string firstLine(const std::string& text) { return text.substr(0, text.find('\n')); }
}  // namespace

Work::Work(std::shared_ptr<Group> group, const char* operation, Group::Begun begun, bool collective,
           std::chrono::milliseconds timeout, c10::intrusive_ptr<c10d::Work> inner, std::vector<at::Tensor> tensors,
           std::function<void()> finish)
    : group_(std::move(group)),
      operation_(operation),
      begun_(begun),
      collective_(collective),
      timeout_(timeout),
      inner_(std::move(inner)),
      tensors_(std::move(tensors)),
      finish_(std::move(finish)) {
  if (group_->heartbeat() && timeout_ > group_->timeout()) {
    watch_.emplace(group_->heartbeat(), group_->options().ranks, group_->timeout());
  }
}

Work::~Work() {
  if (!ended_) group_->end(begun_, operation_, collective_);
}

void Work::await() {
  if (watch_) return awaitWatched();
  // For point-to-point calls the argument is the time-out itself; for collectives Gloo has its own.
  inner_->wait(collective_ ? timeout_ + kGrace : timeout_);
}

void Work::awaitWatched() {
  if (isLost()) throw Lost(lost_);
  if (!collective_) {
    // Gloo ends the connections when such a wait times out, so this one can't be made in slices.
    std::promise<void> over;
    std::thread watcher([this, isOver = over.get_future()] {
      while (isOver.wait_for(watch_->interval()) != std::future_status::ready) {
        if (isLost()) return inner_->abort();
      }
    });
    std::exception_ptr error;
    try {
      inner_->wait(timeout_);
    } catch (...) {
      error = std::current_exception();
    }
    over.set_value();
    watcher.join();
    if (!lost_.empty()) throw Lost(lost_);
    if (error) std::rethrow_exception(error);
    return;
  }
  const auto end = std::chrono::steady_clock::now() + timeout_ + kGrace;
  while (!inner_->isCompleted()) {
    try {
      inner_->wait(watch_->interval());
    } catch (const std::exception&) {
      // The end of the slice; or of the call, which the last wait tells.
      if (std::chrono::steady_clock::now() >= end) throw;
      if (!inner_->isCompleted() && isLost()) throw Lost(lost_);
    }
  }
  inner_->wait(kGrace);
}

bool Work::isLost() {
  std::lock_guard lock(lostMutex_);
  if (lost_.empty()) lost_ = watch_->lost().value_or("");
  return !lost_.empty();
}

std::optional<Failure> Work::wait() {
  std::lock_guard lock(mutex_);
  if (ended_) return failure_;
  recorder::waiting(begun_.record, group_->blocking() ? nullptr : inner_);
  std::string cause;
  bool lost = false;
  const auto begun = std::chrono::steady_clock::now();
  try {
    await();
    if (finish_) finish_();
  } catch (const Lost& error) {
    cause = error.what();
    lost = true;
  } catch (const c10::Error& error) {
    cause = firstLine(error.what_without_backtrace());
  } catch (const std::exception& error) {
    cause = firstLine(error.what());
  }
  waitedNanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - begun).count();
  if (!cause.empty()) {
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started_;
    failure_ = group_->fail(operation_, begun_, collective_, elapsed.count(), timeout_, cause, lost);
  } else {
    group_->end(begun_, operation_, collective_);
  }
  ended_ = true;
  finish_ = nullptr;
  // A failed call may still be in the hands of Gloo's threads, which hold their own references.
  tensors_.clear();
  return failure_;
}

void Work::waitOrThrow() {
  const auto failure = wait();
  if (!failure) return;
  if (failure->kind != "other") C10_THROW_ERROR(DistBackendError, failure->message);
  TORCH_CHECK(false, failure->message);
}

bool Work::awaitCompletion() {
  if (group_->blocking()) return false;
  auto next = std::chrono::steady_clock::now();
  while (!completed()) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    if (!watch_ || std::chrono::steady_clock::now() < next) continue;
    if (isLost()) break;
    next = std::chrono::steady_clock::now() + watch_->interval();
  }
  return true;
}

bool Work::completed() {
  {
    std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    if (ended_) return true;
  }
  return inner_->isCompleted();
}

double waitedMilliseconds() { return static_cast<double>(waitedNanoseconds.load()) / 1e6; }

int64_t addWork(std::shared_ptr<Work> work) {
  std::lock_guard lock(workTable().mutex);
  const int64_t id = workTable().next++;
  workTable().works.emplace(id, std::move(work));
  return id;
}

std::shared_ptr<Work> findWork(int64_t id) {
  std::lock_guard lock(workTable().mutex);
  const auto found = workTable().works.find(id);
  TORCH_CHECK(found != workTable().works.end(), "no collective in flight has the number ", id);
  return found->second;
}

void releaseWork(int64_t id) {
  std::shared_ptr<Work> work;  // ends outside the lock
  std::lock_guard lock(workTable().mutex);
  const auto found = workTable().works.find(id);
  if (found == workTable().works.end()) return;
  work = std::move(found->second);
  workTable().works.erase(found);
}

size_t liveWorks() {
  std::lock_guard lock(workTable().mutex);
  return workTable().works.size();
}

}  // namespace torchforge::comm
