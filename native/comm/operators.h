// The collectives that wait, for C++ callers: the differentiable operators and their backward passes.
#pragma once
#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <memory>

namespace torchforge::comm {

// Each gives a new tensor and throws with the full story (rank, group, peers) when the call fails.
at::Tensor allReduceNow(const at::Tensor& input, const std::string& op, const std::string& group, const char* operation);
// [n, ...] -> [n * ranks, ...]
at::Tensor allGatherNow(const at::Tensor& input, const std::string& group, const char* operation);
// [n * ranks, ...] -> [n, ...]
at::Tensor reduceScatterNow(const at::Tensor& input, const std::string& op, const std::string& group, const char* operation);
at::Tensor allToAllNow(const at::Tensor& input, at::IntArrayRef outputSplits, at::IntArrayRef inputSplits,
                       const std::string& group, const char* operation);

class Work;
// As allToAllNow, into `output`, but not awaited.
std::shared_ptr<Work> startAllToAll(const at::Tensor& output, const at::Tensor& input, at::IntArrayRef outputSplits,
                                    at::IntArrayRef inputSplits, const std::string& group, const char* operation);

void defineDifferentiable(torch::Library& library);

}  // namespace torchforge::comm
