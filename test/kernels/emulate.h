// CUDA's blocks and threads on one thread of the CPU, so that the kernels' own source runs in tests without a GPU: threads are
// fibers, which give way to each other at __syncthreads and at shuffles; blocks run one after the other. A barrier that not all
// threads reach is an error. Not an emulation of memory: races between barriers go unseen.
#pragma once

#include <csetjmp>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#define __device__
#define __shared__ static

struct Index {
  unsigned x;
};
inline Index threadIdx, blockIdx, blockDim, gridDim;

inline float __uint_as_float(unsigned bits) {
  float out;
  std::memcpy(&out, &bits, sizeof(out));
  return out;
}
inline unsigned __float_as_uint(float x) {
  unsigned out;
  std::memcpy(&out, &x, sizeof(out));
  return out;
}

namespace emulation {

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "emulated kernel: %s (block %u of %u, thread %u of %u)\n", what, blockIdx.x, gridDim.x, threadIdx.x, blockDim.x);
  std::abort();
}

constexpr std::size_t kStack = 256 * 1024;
constexpr unsigned kMostThreads = 1024;

/// Begins as a context, and goes on by jumps, which cost no system call.
struct Fiber {
  ucontext_t context;
  jmp_buf jump;
  std::vector<char> stack = std::vector<char>(kStack);
  enum State { running, at_block, at_warp, done } state = done;
};

inline std::vector<Fiber> fibers(kMostThreads);
inline jmp_buf scheduler;
inline const std::function<void()>* body;
inline unsigned char slots[kMostThreads][8];

/// Until all threads of the block, or of the warp, are there.
inline void wait(Fiber::State where) {
  const unsigned self = threadIdx.x;
  fibers[self].state = where;
  if (_setjmp(fibers[self].jump) == 0) _longjmp(scheduler, 1);
}

inline void enter() {
  (*body)();
  fibers[threadIdx.x].state = Fiber::done;
  _longjmp(scheduler, 1);
}

inline void begin(unsigned thread) {
  auto& fiber = fibers[thread];
  fiber.context.uc_stack = {fiber.stack.data(), 0, kStack};
  makecontext(&fiber.context, enter, 0);
  threadIdx.x = thread;
  fiber.state = Fiber::running;
  if (_setjmp(scheduler) == 0) setcontext(&fiber.context);
}

inline void go_on(unsigned thread) {
  threadIdx.x = thread;
  fibers[thread].state = Fiber::running;
  if (_setjmp(scheduler) == 0) _longjmp(fibers[thread].jump, 1);
}

/// Lets go those of [from, to) that wait at a barrier, if all do.
inline bool release(unsigned from, unsigned to, Fiber::State where) {
  for (unsigned i = from; i < to; ++i) {
    if (fibers[i].state != where) return false;
  }
  for (unsigned i = from; i < to; ++i) go_on(i);
  return true;
}

inline void run_block() {
  for (unsigned i = 0; i < blockDim.x; ++i) begin(i);
  for (;;) {
    bool moved = false, ended = true;
    for (unsigned i = 0; i < blockDim.x; i += 32) moved |= release(i, i + 32, Fiber::at_warp);
    moved = release(0, blockDim.x, Fiber::at_block) || moved;
    for (unsigned i = 0; i < blockDim.x; ++i) ended &= fibers[i].state == Fiber::done;
    if (ended) return;
    if (!moved) fail("a barrier that not all threads reach");
  }
}

inline void launch(unsigned grid, unsigned block, const std::function<void()>& kernel) {
  if (block == 0 || block % 32 != 0 || block > kMostThreads) fail("blocks must be whole warps of at most 1,024 threads");
  body = &kernel;
  for (unsigned i = 0; i < block; ++i) getcontext(&fibers[i].context);
  gridDim.x = grid;
  blockDim.x = block;
  for (unsigned i = 0; i < grid; ++i) {
    blockIdx.x = i;
    run_block();
  }
}

}  // namespace emulation

inline void __syncthreads() {
  emulation::wait(emulation::Fiber::at_block);
}

template <typename T>
inline T __shfl_xor_sync(unsigned lanes, T value, int offset) {
  static_assert(sizeof(T) <= sizeof(emulation::slots[0]));
  if (lanes != 0xffffffffu) emulation::fail("a shuffle of part of a warp");
  const unsigned self = threadIdx.x;
  std::memcpy(emulation::slots[self], &value, sizeof(T));
  emulation::wait(emulation::Fiber::at_warp);
  T other;
  std::memcpy(&other, emulation::slots[self ^ offset], sizeof(T));
  // None may write its next value before all have read this one.
  emulation::wait(emulation::Fiber::at_warp);
  return other;
}
