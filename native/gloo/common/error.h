// See ../algorithm.h: only there so that ProcessGroupGloo.hpp can include it.
#pragma once
