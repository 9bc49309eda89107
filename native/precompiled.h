// What most sources read of libtorch, parsed once for all of them (src/setup/build.ts). No source includes this file: each
// includes what it needs, and compiles without it, too.
#pragma once

#include "cpu_capability.h"

#include <node_api.h>

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/cpu/vec/functional.h>
#include <ATen/cpu/vec/vec.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/library.h>
