#include "errors.h"

#include <c10/util/Exception.h>

#include <new>

namespace torchforge {

void checkNapi(napi_status status, const char* what) {
  if (status != napi_ok) throw std::runtime_error(std::string("Node-API: ") + what + " failed");
}

static void set(napi_env env, napi_value object, const char* key, const std::string& text) {
  napi_value value;
  napi_create_string_utf8(env, text.data(), text.size(), &value);
  napi_set_named_property(env, object, key, value);
}

napi_value describeCurrentException(napi_env env, const std::string& operation, const std::string& arguments) {
  napi_value object;
  napi_create_object(env, &object);
  set(env, object, "operation", operation);
  set(env, object, "arguments", arguments);
  try {
    throw;
  } catch (const StaleHandle& e) {
    set(env, object, "kind", "stale");
    set(env, object, "message", e.what());
    set(env, object, "argument", e.argument);
    napi_value handle;
    napi_create_double(env, e.handle, &handle);
    napi_set_named_property(env, object, "handle", handle);
  } catch (const c10::OutOfMemoryError& e) {
    set(env, object, "kind", "memory");
    set(env, object, "message", e.what_without_backtrace());
  } catch (const c10::DistBackendError& e) {
    set(env, object, "kind", "peer");
    set(env, object, "message", e.what_without_backtrace());
  } catch (const c10::Error& e) {
    set(env, object, "kind", "torch");
    set(env, object, "message", e.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    set(env, object, "kind", "memory");
    set(env, object, "message", "out of memory");
  } catch (const std::exception& e) {
    set(env, object, "kind", "native");
    set(env, object, "message", e.what());
  } catch (...) {
    set(env, object, "kind", "native");
    set(env, object, "message", "unknown native exception");
  }
  return object;
}

}  // namespace torchforge
