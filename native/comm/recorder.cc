// See recorder.h.
#include "recorder.h"

#include "group.h"

#include <unistd.h>

#include <chrono>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <map>
#include <sstream>
#include <tuple>

namespace torchforge::comm::recorder {

std::atomic<bool> active{false};

namespace {
using std::chrono::system_clock;
using Shapes = std::vector<std::vector<int64_t>>;

enum class CallState { enqueued, waiting, completed, failed };
constexpr const char* kStates[] = {"enqueued", "waiting", "completed", "failed"};

struct Call {
  uint64_t id = 0;
  std::string group;
  uint64_t sequence = 0;
  bool collective = true;
  const char* operation = "";
  std::string reduceOp;
  int64_t peer = -1;  // of the world
  int64_t tag = 0;
  uint64_t number = 0;  // of the messages in this direction between this pair with this tag
  std::string dtype;
  Shapes inputs, outputs;
  std::vector<int64_t> inputSplits, outputSplits;
  std::string site;
  CallState state = CallState::enqueued;
  system_clock::time_point began, ended;
  c10::intrusive_ptr<c10d::Work> pending;
};

// What is known of a group however many calls the ring has forgotten.
struct GroupStatus {
  std::vector<int64_t> ranks;
  uint64_t enqueued = 0, completed = 0;
  std::map<std::tuple<bool, int64_t, int64_t>, uint64_t> messages;  // (received, peer, tag) -> how many were begun
};

struct State {
  std::mutex mutex;
  int rank = 0, worldSize = 1;
  std::string folder;
  std::vector<Call> ring;
  uint64_t last = 0;
  std::map<std::string, GroupStatus> groups;
  std::string finalReason, finalCalls;  // of the first final dump
  std::optional<Failure> failure;
  std::vector<Peer> peers;
  std::mutex dumping;
};
State& state() {
  static auto* instance = new State;
  return *instance;
}

thread_local std::string nextSite;

Shapes shapesOf(at::TensorList tensors) {
  Shapes shapes;
  shapes.reserve(tensors.size());
  for (const auto& tensor : tensors) shapes.push_back(tensor.sizes().vec());
  return shapes;
}

// With state().mutex held: the call, unless the ring has forgotten it.
Call* find(uint64_t id) {
  auto& ring = state().ring;
  if (id == 0 || ring.empty()) return nullptr;
  Call& call = ring[id % ring.size()];
  return call.id == id ? &call : nullptr;
}

void finish(Call& call, CallState to) {
  call.state = to;
  call.ended = system_clock::now();
  call.pending = nullptr;
  auto& group = state().groups[call.group];
  if (call.collective && to == CallState::completed) group.completed = std::max(group.completed, call.sequence);
}

// A small writer of JSON: values, and what stands between them.
class Json {
 public:
  explicit Json(std::ostream& out) : out_(out) { out_ << std::fixed << std::setprecision(6); }
  void text(std::string_view value) {
    out_ << '"';
    for (const char c : value) {
      if (c == '"' || c == '\\') out_ << '\\' << c;
      else if (c == '\n') out_ << "\\n";
      else if (static_cast<unsigned char>(c) < 0x20) out_ << ' ';
      else out_ << c;
    }
    out_ << '"';
  }
  void key(const char* name, bool first = false) {
    if (!first) out_ << ", ";
    text(name);
    out_ << ": ";
  }
  template <class T>
  void number(const char* name, T value) {
    key(name);
    out_ << value;
  }
  void string(const char* name, std::string_view value, bool first = false) {
    key(name, first);
    text(value);
  }
  void time(const char* name, system_clock::time_point at) {
    key(name);
    out_ << std::chrono::duration<double>(at.time_since_epoch()).count();
  }
  template <class List, class Each>
  void list(const List& values, Each each, const char* between = ", ") {
    out_ << '[';
    bool first = true;
    for (const auto& value : values) {
      if (!first) out_ << between;
      first = false;
      each(value);
    }
    out_ << ']';
  }
  void numbers(const std::vector<int64_t>& values) {
    list(values, [&](int64_t value) { out_ << value; });
  }
  void shapes(const char* name, const Shapes& all) {
    key(name);
    list(all, [&](const auto& shape) { numbers(shape); });
  }
  std::ostream& out() { return out_; }

 private:
  std::ostream& out_;
};

void write(Json& json, const Call& call) {
  json.out() << '{';
  json.string("group", call.group, true);
  json.number("sequence", call.sequence);
  json.string("kind", call.collective ? "collective" : "message");
  json.string("operation", call.operation);
  if (!call.reduceOp.empty()) json.string("op", call.reduceOp);
  if (call.peer >= 0) json.number("peer", call.peer);
  if (!call.collective) {
    json.number("tag", call.tag);
    json.number("number", call.number);
  }
  if (!call.dtype.empty()) json.string("dtype", call.dtype);
  json.shapes("inputs", call.inputs);
  json.shapes("outputs", call.outputs);
  if (!call.inputSplits.empty()) {
    json.key("input_splits");
    json.numbers(call.inputSplits);
  }
  if (!call.outputSplits.empty()) {
    json.key("output_splits");
    json.numbers(call.outputSplits);
  }
  json.string("state", kStates[static_cast<int>(call.state)]);
  json.time("enqueued_at", call.began);
  if (call.ended != system_clock::time_point{}) json.time("ended_at", call.ended);
  if (!call.site.empty()) json.string("site", call.site);
  json.out() << '}';
}

void write(Json& json, const std::string& name, const GroupStatus& group) {
  json.out() << '{';
  json.string("name", name, true);
  json.key("ranks");
  json.numbers(group.ranks);
  json.number("last_enqueued", group.enqueued);
  json.number("last_completed", group.completed);
  json.key("messages");
  json.list(group.messages, [&](const auto& entry) {
    const auto& [received, peer, tag] = entry.first;
    json.out() << '{';
    json.string("direction", received ? "recv" : "send", true);
    json.number("peer", peer);
    json.number("tag", tag);
    json.number("count", entry.second);
    json.out() << '}';
  });
  json.out() << '}';
}

void write(Json& json, const Failure& failure) {
  json.out() << '{';
  json.string("kind", failure.kind, true);
  json.string("group", failure.group);
  json.string("operation", failure.operation);
  json.number("sequence", failure.sequence);
  json.string("message", failure.message);
  json.out() << '}';
}

void write(Json& json, const Peer& peer) {
  json.out() << "{\"rank\": " << peer.rank;
  json.key("alive");
  json.out() << (peer.alive ? "true" : "false");
  if (peer.known) {
    json.number("sequence", peer.sequence);
    json.string("operation", peer.operation);
    json.string("state", peer.state == 'r' ? "running" : peer.state == 'd' ? "completed" : "failed");
  }
  json.out() << '}';
}

// With state().mutex held.
std::string headText(const std::string& reason) {
  State& all = state();
  std::ostringstream out;
  Json json(out);
  out << "{\"version\": 1";
  json.number("rank", all.rank);
  json.number("world_size", all.worldSize);
  json.number("pid", ::getpid());
  json.time("time", system_clock::now());
  json.string("reason", reason);
  if (all.failure) {
    json.key("failure");
    write(json, *all.failure);
    json.key("peers");
    json.list(all.peers, [&](const Peer& peer) { write(json, peer); });
  }
  return out.str();
}

// With state().mutex held.
std::string callsText() {
  State& all = state();
  std::ostringstream out;
  Json json(out);
  json.number("calls", all.last);
  out << ",\n\"groups\": ";
  json.list(all.groups, [&](const auto& entry) { write(json, entry.first, entry.second); }, ",\n  ");
  std::vector<const Call*> calls;
  const uint64_t size = all.ring.size();
  for (uint64_t id = all.last >= size ? all.last - size + 1 : 1; id <= all.last; ++id) {
    Call* call = find(id);
    if (call == nullptr) continue;
    if (call->pending && call->pending->isCompleted()) finish(*call, CallState::completed);
    calls.push_back(call);
  }
  out << ",\n\"entries\": ";
  json.list(calls, [&](const Call* call) { write(json, *call); }, ",\n  ");
  out << "}\n";
  return out.str();
}

// An error that nobody catches in a thread of libtorch (Gloo's, for a message of another size; NCCL's watchdog) ends the
// process. Not in a signal handler, so that a dump can be written.
std::terminate_handler previousTerminate = nullptr;
void onTerminate() {
  std::string what = "an error in a thread of libtorch";
  try {
    if (std::current_exception()) std::rethrow_exception(std::current_exception());
  } catch (const std::exception& error) {
    what = error.what();
  } catch (...) {  // of no known type
  }
  dump("rank " + std::to_string(state().rank) + ": " + what.substr(0, what.find('\n')), true);
  if (previousTerminate != nullptr) previousTerminate();
  std::abort();
}
}  // namespace

void start(size_t capacity, int rank, int worldSize) {
  std::lock_guard lock(state().mutex);
  state().rank = rank;
  state().worldSize = worldSize;
  state().folder.clear();
  state().ring.assign(capacity, Call{});
  state().last = 0;
  state().groups.clear();
  state().finalReason.clear();
  state().finalCalls.clear();
  state().failure.reset();
  state().peers.clear();
  static const bool once = [] {
    previousTerminate = std::set_terminate(onTerminate);
    return true;
  }();
  (void)once;
  active = capacity > 0;
}

void stop() {
  active = false;
  std::lock_guard lock(state().mutex);
  state().ring.clear();
}

void setFolder(const std::string& folder) {
  std::lock_guard lock(state().mutex);
  state().folder = folder;
}

void setSite(std::string site) { nextSite = std::move(site); }

uint64_t begin(const std::string& group, const std::vector<int64_t>& ranks, uint64_t sequence, bool collective,
               const char* operation, const Traced& traced) {
  if (!isOn()) return 0;
  Call call;
  call.group = group;
  call.sequence = sequence;
  call.collective = collective;
  call.operation = operation;
  call.reduceOp = traced.reduceOp;
  call.peer = traced.peer >= 0 ? ranks.at(static_cast<size_t>(traced.peer)) : -1;
  call.tag = traced.tag;
  const auto& some = traced.inputs.empty() ? traced.outputs : traced.inputs;
  if (!some.empty()) call.dtype = std::string(c10::getDtypeNames(some[0].scalar_type()).first);
  call.inputs = shapesOf(traced.inputs);
  call.outputs = shapesOf(traced.outputs);
  call.inputSplits = traced.inputSplits.vec();
  call.outputSplits = traced.outputSplits.vec();
  call.site = std::exchange(nextSite, {});
  call.began = system_clock::now();
  std::lock_guard lock(state().mutex);
  auto& ring = state().ring;
  if (ring.empty()) return 0;
  auto& status = state().groups[group];
  if (status.ranks.empty()) status.ranks = ranks;
  if (collective) status.enqueued = std::max(status.enqueued, sequence);
  else call.number = ++status.messages[{traced.inputs.empty(), call.peer, call.tag}];
  call.id = ++state().last;
  const uint64_t id = call.id;
  ring[id % ring.size()] = std::move(call);
  return id;
}

void waiting(uint64_t id, const c10::intrusive_ptr<c10d::Work>& pending) {
  if (id == 0) return;
  std::lock_guard lock(state().mutex);
  Call* call = find(id);
  if (call == nullptr || call->state != CallState::enqueued) return;
  call->state = CallState::waiting;
  call->pending = pending;
}

void end(uint64_t id, bool failed) {
  if (id == 0) return;
  std::lock_guard lock(state().mutex);
  Call* call = find(id);
  if (call == nullptr || call->state == CallState::failed) return;
  // Where waiting only orders streams, the call may run on: it keeps `pending`.
  if (!failed && call->pending && !call->pending->isCompleted()) return;
  finish(*call, failed ? CallState::failed : CallState::completed);
}

bool isBusy() {
  std::lock_guard lock(state().mutex);
  for (const Call& call : state().ring) {
    if (call.id != 0 && (call.state == CallState::enqueued || call.state == CallState::waiting)) return true;
  }
  return false;
}

std::string dump(const std::string& reason, bool final, const Failure* failure, const std::vector<Peer>& peers) {
  if (!isOn()) return {};
  try {
    std::lock_guard one(state().dumping);
    std::string content, path;
    {
      std::lock_guard lock(state().mutex);
      if (state().folder.empty()) return {};
      path = state().folder + "/rank-" + std::to_string(state().rank) + ".json";
      State& all = state();
      const bool first = all.finalCalls.empty();
      const bool same = all.failure && failure != nullptr && all.failure->group == failure->group &&
                        all.failure->sequence == failure->sequence;
      if (failure != nullptr && (first || same)) {
        all.failure = *failure;
        all.peers = peers;
      }
      if (first && final) {
        all.finalReason = reason;
        all.finalCalls = callsText();
      }
      content = all.finalCalls.empty() ? headText(reason) + callsText() : headText(all.finalReason) + all.finalCalls;
    }
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    const std::string temporary = path + ".tmp-" + std::to_string(::getpid());
    {
      std::ofstream file(temporary, std::ios::trunc);
      file << content;
      if (!file.flush()) return {};
    }
    std::filesystem::rename(temporary, path);  // whole or not at all
    return path;
  } catch (const std::exception&) {
    return {};
  }
}

}  // namespace torchforge::comm::recorder
