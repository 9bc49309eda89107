// The CPU allocator and its counters. Big blocks that a step frees are kept and handed out again, instead of going back
// to the system and being faulted in anew in the next step.
#pragma once
#include <cstddef>
#include <cstdint>

namespace torchforge {

struct MemoryStats {
  int64_t currentBytes, peakBytes, cachedBytes, systemAllocations, reusedAllocations;
};

// Unless TORCHFORGE_ALLOCATOR says otherwise: `libtorch` leaves libtorch's own, `mallopt` too and tells malloc to keep
// big blocks (glibc). Both are for comparison; they count no bytes. With `guard` the process ends in an operator that touches what
// lies behind a tensor, with `guard-before` what lies before one.
void installAllocator();
MemoryStats memoryStats();
int64_t currentBytes() noexcept;
// What tensors of the device meta, which have no memory, would hold: those made while they stood for the same memory as now.
MemoryStats metaMemoryStats();
void resetMetaPeak();
enum class MetaMemory { main, accelerator };
// Whose memory those stand for that are made from now on.
void setMetaMemory(MetaMemory which) noexcept;
// How many of them were made so far.
int64_t metaAllocations() noexcept;
void resetPeak();
// Gives kept blocks back to the system.
void emptyCache();
// Upper limit of what is kept, in bytes; 0 turns keeping off.
void setCacheLimit(int64_t bytes);
// Whether memory that is taken from the system from now on may have huge pages (the default).
void setHugePages(bool on);
// An allocation that would bring currentBytes beyond this fails as out of memory; 0 for no limit.
void setMemoryLimit(int64_t bytes);

}  // namespace torchforge
