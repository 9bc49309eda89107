#include "memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <algorithm>
#include <atomic>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <string_view>

namespace torchforge {
namespace {

// Below this malloc is as good: it reuses its own memory without asking the system.
constexpr size_t kBigBytes = 256 << 10;
constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = 2 << 20;
// A stretch of pages is what blocks are cut from; 64 KiB is whole pages on every machine that we know.
constexpr size_t kPage = 64 << 10;
// Vectorized kernels may read (not write) a vector or two beyond the end: never into a page that isn't ours.
constexpr size_t kSlack = 128;
// How much larger than its tensors once were what is kept may make the process. Blocks of many sizes never fit each other
// without rest: with nothing here, each step gave some back to the system and faulted it in again.
constexpr int64_t kFragments = 16 << 20;

std::atomic<bool> hugePages{true};

size_t roundUp(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

// What this process may use: the machine's memory, or less where its control group says so (containers).
int64_t machineBytes() {
  int64_t bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  for (const char* file : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    int64_t limit = 0;
    if (std::ifstream(file) >> limit && limit > 0) bytes = std::min(bytes, limit);
  }
  return bytes;
}

class Allocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* data = bytes == 0 ? nullptr : take(bytes);
    return {data, data, &Allocator::freeThunk, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &Allocator::freeThunk; }
  void copy_data(void* to, const void* from, std::size_t count) const override { default_copy_data(to, from, count); }

  MemoryStats stats() {
    std::lock_guard lock(mutex_);
    return {current_.load(), peak_.load(), cached_, systemAllocations_, reusedAllocations_};
  }
  void resetPeak() {
    peak_ = current_.load();
  }
  int64_t current() const noexcept { return current_.load(std::memory_order_relaxed); }
  void setMemoryLimit(int64_t bytes) { memoryLimit_.store(bytes > 0 ? bytes : INT64_MAX, std::memory_order_relaxed); }
  void setLimit(int64_t bytes) {
    std::lock_guard lock(mutex_);
    limit_ = bytes;
    trim(limit_);
  }
  void empty() {
    std::lock_guard lock(mutex_);
    trim(0);
  }

 private:
  static void freeThunk(void* data);

  // What stands right before the memory of a tensor.
  struct Header {
    void* base;
    size_t bytes;
  };
  static Header& header(void* data) { return static_cast<Header*>(data)[-1]; }

  void* take(size_t bytes) {
    TORCH_CHECK_WITH(OutOfMemoryError, bytes < (size_t{1} << 62), "can't allocate ", bytes, " bytes");
    const size_t room = bytes + sizeof(Header) + kAlignment - 1 + kSlack;
    size_t size = room;
    const int64_t held = current_.load(std::memory_order_relaxed), most = memoryLimit_.load(std::memory_order_relaxed);
    TORCH_CHECK_WITH(OutOfMemoryError, static_cast<int64_t>(room) <= most - held, "can't allocate ", bytes, " bytes: tensors hold ",
                     held, " bytes and setMemoryLimit() allows ", most);
    void* base = room < kBigBytes ? std::malloc(room) : takeBlock(size = roundUp(room, kPage));
    if (base == nullptr) fail(bytes);
    const auto address = roundUp(reinterpret_cast<size_t>(base) + sizeof(Header), kAlignment);
    void* data = reinterpret_cast<void*>(address);
    header(data) = {base, size};
    const int64_t now = current_.fetch_add(static_cast<int64_t>(size), std::memory_order_relaxed) + static_cast<int64_t>(size);
    int64_t peak = peak_.load(std::memory_order_relaxed);
    while (now > peak && !peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
    }
    return data;
  }

  void give(void* data) {
    if (data == nullptr) return;
    const Header one = header(data);
    current_.fetch_sub(static_cast<int64_t>(one.bytes), std::memory_order_relaxed);
    if (one.bytes < kBigBytes) return std::free(one.base);
    std::lock_guard lock(mutex_);
    keep(reinterpret_cast<uintptr_t>(one.base), one.bytes, ++age_);
    trim(limit_);
  }

  // The smallest kept block of at least `size` bytes, cut to size; else fresh memory. Blocks that nobody fits into are
  // given back as fresh ones are needed: what is kept never makes the process larger than its tensors once were, but for
  // kFragments.
  void* takeBlock(size_t size) {
    std::lock_guard lock(mutex_);
    if (auto it = bySize_.lower_bound(size); it != bySize_.end()) {
      const uintptr_t base = it->second;
      const Kept block = byAddress_.at(base);
      forget(base);
      if (block.size > size) keep(base + size, block.size - size, block.age);
      ++reusedAllocations_;
      return reinterpret_cast<void*>(base);
    }
    ++systemAllocations_;
    const int64_t needed = current_.load(std::memory_order_relaxed) + static_cast<int64_t>(size);
    most_ = std::max(most_, needed);
    trim(std::min(limit_, most_ + kFragments - needed));
    void* base = map(size);
    if (base == nullptr) {
      trim(0);
      base = map(size);
    }
    return base;
  }

  struct Kept {
    size_t size;
    uint64_t age;
    std::multimap<size_t, uintptr_t>::iterator bySize;
  };

  // Adds a free stretch of pages, joined with its free neighbours. Where the pages came from doesn't matter: the system
  // takes back any stretch of mapped pages.
  void keep(uintptr_t base, size_t size, uint64_t age) {
    cached_ += static_cast<int64_t>(size);
    auto next = byAddress_.lower_bound(base);
    if (next != byAddress_.end() && next->first == base + size) {
      size += next->second.size;
      age = std::max(age, next->second.age);
      next = erase(next);
    }
    if (next != byAddress_.begin()) {
      auto before = std::prev(next);
      if (before->first + before->second.size == base) {
        base = before->first;
        size += before->second.size;
        age = std::max(age, before->second.age);
        erase(before);
      }
    }
    byAddress_.emplace(base, Kept{size, age, bySize_.emplace(size, base)});
    byAge_.emplace(age, base);
  }

  std::map<uintptr_t, Kept>::iterator erase(std::map<uintptr_t, Kept>::iterator it) {
    bySize_.erase(it->second.bySize);
    const auto [from, to] = byAge_.equal_range(it->second.age);
    for (auto one = from; one != to; ++one) {
      if (one->second == it->first) {
        byAge_.erase(one);
        break;
      }
    }
    return byAddress_.erase(it);
  }

  void forget(uintptr_t base) {
    const auto it = byAddress_.find(base);
    cached_ -= static_cast<int64_t>(it->second.size);
    erase(it);
  }

  // Gives back the stretches that were kept for the longest until at most `limit` bytes are kept; of the last one only
  // as much as is too much.
  void trim(int64_t limit) {
    limit = std::max<int64_t>(limit, 0);
    while (cached_ > limit && !byAge_.empty()) {
      const uintptr_t base = byAge_.begin()->second;
      const Kept block = byAddress_.at(base);
      const size_t surplus = roundUp(static_cast<size_t>(cached_ - limit), kPage);
      forget(base);
      const size_t gone = std::min(surplus, block.size);
      munmap(reinterpret_cast<void*>(base), gone);
      if (gone < block.size) keep(base + gone, block.size - gone, block.age);
    }
  }

  static void* map(size_t size) {
    void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return nullptr;
#ifdef MADV_HUGEPAGE
    if (size >= kHugePage && hugePages.load(std::memory_order_relaxed)) madvise(data, size, MADV_HUGEPAGE);
#endif
    return data;
  }

  [[noreturn]] static void fail(size_t bytes) {
    TORCH_CHECK_WITH(OutOfMemoryError, false, "can't allocate memory: you tried to allocate ", bytes, " bytes");
    std::abort();
  }

  std::mutex mutex_;
  std::map<uintptr_t, Kept> byAddress_;
  std::multimap<size_t, uintptr_t> bySize_;
  std::multimap<uint64_t, uintptr_t> byAge_;
  uint64_t age_ = 0;
  int64_t most_ = 0;  // the most that tensors held at once
  std::atomic<int64_t> current_{0}, peak_{0}, memoryLimit_{INT64_MAX};
  int64_t cached_ = 0, systemAllocations_ = 0, reusedAllocations_ = 0;
  int64_t limit_ = machineBytes() / 4;
};

// For finding operators that read or write beyond their tensors: each block ends at a page that can't be touched, so that
// the process ends in the very operator.
class GuardAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release, c10::Device(c10::DeviceType::CPU)};
    TORCH_CHECK_WITH(OutOfMemoryError, bytes < (size_t{256} << 20), "can't allocate ", bytes, " bytes");
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    // As near to the page as alignment allows: vectorized kernels read up to a whole vector.
    const size_t used = roundUp(bytes, kAlignment), room = roundUp(used + sizeof(Block), page);
    auto* base = static_cast<char*>(mmap(nullptr, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    TORCH_CHECK_WITH(OutOfMemoryError, base != MAP_FAILED, "can't allocate ", bytes, " bytes");
    mprotect(base + room, page, PROT_NONE);
    char* data = base + room - used;
    reinterpret_cast<Block*>(data)[-1] = {base, room + page};
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t count) const override { default_copy_data(to, from, count); }

 private:
  struct Block {
    void* base;
    size_t size;
  };
  static void release(void* data) {
    if (data == nullptr) return;
    const Block block = static_cast<Block*>(data)[-1];
    munmap(block.base, block.size);
  }
};

// As GuardAllocator, for what lies before a tensor: each block begins after a page that can't be touched.
class GuardBeforeAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release, c10::Device(c10::DeviceType::CPU)};
    TORCH_CHECK_WITH(OutOfMemoryError, bytes < (size_t{256} << 20), "can't allocate ", bytes, " bytes");
    // Vectorized kernels read up to a whole vector.
    const size_t room = page() + roundUp(bytes + kAlignment, page());
    auto* base = static_cast<char*>(mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    TORCH_CHECK_WITH(OutOfMemoryError, base != MAP_FAILED, "can't allocate ", bytes, " bytes");
    *reinterpret_cast<size_t*>(base) = room;
    mprotect(base, page(), PROT_NONE);
    char* data = base + page();
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t count) const override { default_copy_data(to, from, count); }

 private:
  static size_t page() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }
  static void release(void* data) {
    if (data == nullptr) return;
    char* base = static_cast<char*>(data) - page();
    mprotect(base, page(), PROT_READ);
    munmap(base, *reinterpret_cast<size_t*>(base));
  }
};

// Autograd's threads free, too; who measures allocates from one.
struct Held {
  std::atomic<int64_t> current{0}, peak{0};
};

// Counts what tensors of the device meta, which have no memory, would hold: how a step is measured that doesn't fit here.
class MetaAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const c10::Device meta(c10::DeviceType::Meta);
    if (bytes == 0) return {nullptr, meta};
    ++allocations;
    Held& held = present();
    const int64_t now = held.current += static_cast<int64_t>(bytes);
    if (now > held.peak) held.peak = now;
    return {nullptr, new Block{bytes, held}, &release, meta};
  }
  c10::DeleterFnPtr raw_deleter() const override { return nullptr; }
  void copy_data(void*, const void*, std::size_t) const override {}

  static Held& present() noexcept { return memories[static_cast<size_t>(which.load())]; }
  static inline std::atomic<int64_t> allocations{0};
  static inline std::atomic<MetaMemory> which{MetaMemory::main};

 private:
  struct Block {
    size_t bytes;
    Held& in;
  };
  static void release(void* context) {
    const auto* block = static_cast<Block*>(context);
    block->in.current -= static_cast<int64_t>(block->bytes);
    delete block;
  }
  static inline Held memories[2];
};

// Never destroyed: tensors may die after static destructors ran.
Allocator& allocator() {
  static Allocator* one = new Allocator();
  return *one;
}

void Allocator::freeThunk(void* data) { allocator().give(data); }

}  // namespace

void installAllocator() {
  static std::once_flag once;
  std::call_once(once, [] {
    c10::SetAllocator(c10::DeviceType::Meta, new MetaAllocator(), /*priority=*/100);
    const char* asked = std::getenv("TORCHFORGE_ALLOCATOR");
    const std::string_view which = asked == nullptr ? "" : asked;
#ifdef __GLIBC__
    if (which == "mallopt") {
      mallopt(M_MMAP_THRESHOLD, INT_MAX);
      mallopt(M_TRIM_THRESHOLD, INT_MAX);
    }
#endif
    if (which == "guard") c10::SetCPUAllocator(new GuardAllocator(), /*priority=*/100);
    else if (which == "guard-before") c10::SetCPUAllocator(new GuardBeforeAllocator(), /*priority=*/100);
    else if (which != "mallopt" && which != "libtorch") c10::SetCPUAllocator(&allocator(), /*priority=*/100);
  });
}
int64_t currentBytes() noexcept { return allocator().current(); }
void setHugePages(bool on) { hugePages.store(on, std::memory_order_relaxed); }
void setMemoryLimit(int64_t bytes) { allocator().setMemoryLimit(bytes); }
int64_t metaAllocations() noexcept { return MetaAllocator::allocations.load(); }
MemoryStats metaMemoryStats() {
  const auto& held = MetaAllocator::present();
  return {held.current, held.peak, 0, MetaAllocator::allocations, 0};
}
void resetMetaPeak() { MetaAllocator::present().peak = MetaAllocator::present().current.load(); }
void setMetaMemory(MetaMemory which) noexcept { MetaAllocator::which = which; }
MemoryStats memoryStats() { return allocator().stats(); }
void resetPeak() { allocator().resetPeak(); }
void emptyCache() { allocator().empty(); }
void setCacheLimit(int64_t bytes) { allocator().setLimit(bytes); }

}  // namespace torchforge
