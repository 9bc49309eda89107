// What native/core/addon.cc calls to add the process groups' functions to the addon's exports.
#pragma once
#include <node_api.h>

#define TORCHFORGE_COMM 1

namespace torchforge {
void registerComm(napi_env env, napi_value exports);
}
