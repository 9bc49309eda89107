// The CPU allocator and its counters. Big blocks that a step frees are kept and handed out again, instead of going back
// to the system and being faulted in anew in the next step.
#pragma once
#include <cstddef>
#include <cstdint>

namespace torchforge {

struct MemoryStats {
  int64_t currentBytes, peakBytes, cachedBytes, systemAllocations, reusedAllocations;
};

void installAllocator();
MemoryStats memoryStats();
void resetPeak();
// Gives kept blocks back to the system.
void emptyCache();
// Upper limit of what is kept, in bytes; 0 turns keeping off.
void setCacheLimit(int64_t bytes);

}  // namespace torchforge
