// The torch wheel carries gloo but not its headers; ProcessGroupGloo.hpp includes five of them. The files in this
// folder declare just the names that it mentions. Nothing here is a copy of gloo, and nothing of gloo is called
// through these declarations except Context::setTimeout, which libtorch_cpu exports.
#pragma once
