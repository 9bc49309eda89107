// Operators that the fuzz tests pass over: libtorch itself ends the process (or never returns) on arguments that no check
// at our boundary can tell from good ones. Each with its reason. What can be checked is, in native/core/guards.cc.
export const excluded: Readonly<Record<string, string>> = {};
