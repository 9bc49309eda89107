// The addon's functions, by what they are about. Each reads its arguments from the buffer, leaves results in it, and
// returns undefined, or the description of an error (errors.h).
#pragma once
#include "values.h"

namespace torchforge {

// tensor.cc
napi_value tensorMeta(Env& env);
napi_value tensorItem(Env& env);
napi_value tensorFrom(Env& env, napi_value data, bool share);
napi_value tensorBytes(Env& env);
napi_value tensorCopyBytes(Env& env, napi_value data, bool toTensor);
napi_value storageResize(Env& env);
napi_value storageInfo(Env& env);

// autograd.cc
napi_value autogradBackward(Env& env);
napi_value autogradGrad(Env& env);
napi_value gradientGet(Env& env);
napi_value gradientSet(Env& env);
napi_value requiresGradSet(Env& env);
napi_value retainGrad(Env& env);
napi_value gradModeSet(Env& env);
napi_value inferenceModePush(Env& env);
napi_value inferenceModePop(Env& env);
napi_value tensorVersion(Env& env);
// The name of the function that made the tensor, as PyTorch shows it; undefined for leaves.
napi_value gradFnName(Env& env);

// runtime.cc
napi_value seedAll(Env& env);
napi_value generatorNew(Env& env);
napi_value generatorDefault(Env& env);
napi_value generatorSeed(Env& env);
napi_value generatorGetState(Env& env);
napi_value generatorSetState(Env& env);
napi_value threads(Env& env);
napi_value deterministic(Env& env);
napi_value memory(Env& env);
napi_value deviceSet(Env& env);
napi_value synchronize(Env& env);
// [exit code, seconds]: this process ends so at the latest.
napi_value exitWithin(Env& env);
std::string infoJson();
std::vector<std::string> schemas();

}  // namespace torchforge
