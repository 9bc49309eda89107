// See work.h.
#include "work.h"

#include <atomic>
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
      finish_(std::move(finish)) {}

Work::~Work() {
  if (!ended_) group_->end(begun_, operation_, collective_);
}

std::optional<Failure> Work::wait() {
  std::lock_guard lock(mutex_);
  if (ended_) return failure_;
  recorder::waiting(begun_.record, group_->blocking() ? nullptr : inner_);
  std::string cause;
  const auto begun = std::chrono::steady_clock::now();
  try {
    // For point-to-point calls the argument is the time-out itself; for collectives Gloo has its own.
    inner_->wait(collective_ ? timeout_ + kGrace : timeout_);
    if (finish_) finish_();
  } catch (const c10::Error& error) {
    cause = firstLine(error.what_without_backtrace());
  } catch (const std::exception& error) {
    cause = firstLine(error.what());
  }
  waitedNanoseconds += std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - begun).count();
  if (!cause.empty()) {
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started_;
    failure_ = group_->fail(operation_, begun_, collective_, elapsed.count(), timeout_, cause);
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
  if (auto failure = wait()) TORCH_CHECK(false, failure->message);
}

bool Work::awaitCompletion() {
  if (group_->blocking()) return false;
  while (!completed()) std::this_thread::sleep_for(std::chrono::microseconds(200));
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
