// NVRTC and the CUDA driver, opened when they are first needed: the few functions of them that kernels take. What they answer
// with an error throws here, in words.
#pragma once

#include <string>
#include <vector>

namespace forge::cuda {

/// Whether both libraries are there; why not, otherwise.
struct Found {
  bool found;
  std::string why;
};

/// A source and the headers that it includes, by name.
struct Program {
  std::string name;
  std::string source;
  std::vector<std::pair<std::string, std::string>> headers;
};

class Nvrtc {
 public:
  /// The one that libtorch brought, or that the system has; `path` for a certain one.
  static Found find(const std::string& path = "");
  static const Nvrtc& get();

  /// "13.0"
  std::string version() const;
  /// sm_NN, or compute_NN of the latest that this NVRTC knows, for a device that is newer.
  std::string architecture(int major, int minor) const;
  /// Machine code, or PTX for compute_NN.
  std::string compile(const Program& program, const std::string& architecture) const;

 private:
  void check(int code, const char* what) const;
};

class Driver {
 public:
  static Found find();
  static const Driver& get();

  /// CUdevice_attribute of a device by its ordinal.
  int attribute(int device, int which) const;
  /// Makes the device's primary context, which libtorch uses too, this thread's.
  void enter(int device) const;
  /// The function `entry` of a module, in the context that was entered.
  void* load(const std::string& image) const;
  void launch(void* function, unsigned grid, unsigned block, void* stream, const void* args) const;

 private:
  void check(int code, const char* what) const;
};

/// The CUDA stream that libtorch works on now, on a device by its ordinal.
void* current_stream(int device);

}  // namespace forge::cuda
