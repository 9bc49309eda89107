// Process groups, their store, their work, and what watches over them.
#include "../comm/group.cc"
#include "../comm/heartbeat.cc"
#include "../comm/recorder.cc"
#include "../comm/register.cc"
#include "../comm/simulated.cc"
#include "../comm/store.cc"
#include "../comm/tasks.cc"
#include "../comm/work.cc"
