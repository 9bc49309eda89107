// See heartbeat.h. A rank's entry in the store is text: its beat number, then a line a group: name, sequence number,
// state, operation, separated by tabs.
#include "heartbeat.h"

#include "recorder.h"

#include <algorithm>
#include <condition_variable>
#include <sstream>
#include <thread>

namespace torchforge::comm {

namespace {
constexpr std::chrono::milliseconds kBeat{500};
constexpr std::chrono::seconds kDiagnosisLimit{5};

struct Entry {
  uint64_t beat = 0;
  std::map<std::string, std::tuple<uint64_t, char, std::string>> groups;
};

Entry decode(const std::string& text) {
  Entry entry;
  std::istringstream lines(text);
  lines >> entry.beat;
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string group, sequence, state, operation;
    std::getline(fields, group, '\t');
    std::getline(fields, sequence, '\t');
    std::getline(fields, state, '\t');
    std::getline(fields, operation);
    if (sequence.empty() || state.empty()) continue;
    entry.groups[group] = {std::strtoull(sequence.c_str(), nullptr, 10), state[0], operation};
  }
  return entry;
}

std::string key(int64_t rank) { return "heartbeat/" + std::to_string(rank); }

// Why the ranks are asked to dump their flight recorders; the first letter says whether something failed.
const std::string kDumpKey = "dump";
constexpr char kFinal = '!', kPlain = '?';

Peer peerOf(int64_t rank, const std::optional<Entry>& entry, uint64_t beatBefore, const std::string& group) {
  Peer peer;
  peer.rank = rank;
  if (!entry) return peer;
  peer.joined = true;
  peer.alive = entry->beat != beatBefore;
  const auto found = entry->groups.find(group);
  if (found == entry->groups.end()) return peer;
  peer.known = true;
  std::tie(peer.sequence, peer.state, peer.operation) = found->second;
  return peer;
}

std::string lineOf(const Peer& peer, uint64_t sequence) {
  if (!peer.joined) return "never joined the run";
  std::string last = "no collective of this group was seen there";
  if (peer.known) {
    const std::string call = peer.operation + " #" + std::to_string(peer.sequence);
    if (peer.state == 'f') last = call + " failed there";
    else if (peer.sequence == sequence) last = peer.state == 'r' ? "it is in " + call + " too" : call + " is finished there";
    else if (peer.sequence > sequence) last = "it is ahead, in " + call;
    else last = "it has not entered this call; its last one was " + call + (peer.state == 'r' ? ", still running" : ", finished");
  }
  if (peer.alive) return "alive; " + last;
  return "NO SIGN OF LIFE (its process ended, is stopped, or its machine can't be reached); last known: " + last;
}

std::optional<Entry> read(Store& store, int64_t rank) {
  if (!store.check({key(rank)})) return std::nullopt;
  return decode(store.get(key(rank), std::chrono::seconds(1)));
}

Heartbeat::Description describe(Store& store, std::chrono::milliseconds interval, const std::string& group,
                                uint64_t sequence, const std::vector<int64_t>& ranks) {
  std::map<int64_t, uint64_t> before;
  try {
    for (int64_t rank : ranks) {
      const auto entry = read(store, rank);
      before[rank] = entry ? entry->beat : 0;
    }
    // As long as somebody is silent, up to five beats: a busy machine may hold one back.
    std::map<int64_t, std::optional<Entry>> entries;
    const auto end = std::chrono::steady_clock::now() + interval * 5;
    for (bool silent = true; silent;) {
      std::this_thread::sleep_for(interval / 2);
      silent = false;
      for (int64_t rank : ranks) {
        entries[rank] = read(store, rank);
        silent = silent || (entries[rank] && entries[rank]->beat == before[rank]);
      }
      if (std::chrono::steady_clock::now() >= end) break;
    }
    Heartbeat::Description result;
    for (int64_t rank : ranks) {
      const Peer peer = peerOf(rank, entries[rank], before[rank], group);
      result.text += "\n  rank " + std::to_string(rank) + ": " + lineOf(peer, sequence);
      result.peers.push_back(peer);
    }
    return result;
  } catch (const std::exception&) {
    return {"\n  unknown: the store at " + store.address() +
            " doesn't answer, so the process that hosts it (usually rank 0, or the launcher) is gone", {}};
  }
}
}  // namespace

struct Heartbeat::State {
  struct Note {
    uint64_t sequence;
    std::string operation;
    char state;
  };
  std::shared_ptr<Store> store;
  int rank;
  std::chrono::milliseconds interval;
  std::mutex mutex;
  std::condition_variable changed;
  bool stop = false;
  bool ended = false;
  uint64_t beat = 0;
  std::map<std::string, Note> notes;

  std::string encode() {
    std::lock_guard lock(mutex);
    std::ostringstream out;
    out << ++beat << "\n";
    for (const auto& [group, note] : notes) {
      out << group << "\t" << note.sequence << "\t" << note.state << "\t" << note.operation << "\n";
    }
    return out.str();
  }
};

Heartbeat::Heartbeat(std::shared_ptr<Store> store, int rank, int worldSize) : state_(std::make_shared<State>()) {
  state_->store = std::move(store);
  state_->rank = rank;
  // With many ranks less often, so that the store sees at most some 128 beats a second.
  state_->interval = kBeat * std::max(1, worldSize / 64);
  state_->store->set(key(rank), state_->encode());
  std::thread([state = state_] { run(state); }).detach();
}

void Heartbeat::stop() {
  std::unique_lock lock(state_->mutex);
  state_->stop = true;
  state_->changed.notify_all();
  state_->changed.wait_for(lock, std::chrono::seconds(1), [this] { return state_->ended; });
}

void Heartbeat::run(const std::shared_ptr<State>& state) {
  std::string answered;
  for (;;) {
    {
      std::unique_lock lock(state->mutex);
      if (state->changed.wait_for(lock, state->interval, [&] { return state->stop; })) break;
    }
    try {
      state->store->set(key(state->rank), state->encode());
      if (recorder::isOn() && state->store->check({kDumpKey})) {
        const std::string asked = state->store->get(kDumpKey, std::chrono::seconds(1));
        if (asked != answered) recorder::dump(asked.substr(1), asked[0] == kFinal);
        answered = asked;
      }
    } catch (...) {
      // The store is gone; whoever waits for a peer finds out through its own call, perhaps too late to write it down.
      if (recorder::isOn() && recorder::isBusy()) recorder::dump("the store at " + state->store->address() + " is gone", true);
      break;
    }
  }
  std::lock_guard lock(state->mutex);
  state->ended = true;
  state->changed.notify_all();
}

void Heartbeat::note(const std::string& group, uint64_t sequence, const char* operation, char state) {
  std::lock_guard lock(state_->mutex);
  auto& note = state_->notes[group];
  // An earlier call that ends late must not hide a later one that runs.
  if (state != 'f' && note.sequence > sequence) return;
  note = {sequence, operation, state};
}

void Heartbeat::forget(const std::string& group) {
  std::lock_guard lock(state_->mutex);
  state_->notes.erase(group);
}

void Heartbeat::askForDumps(const std::string& reason, bool final) {
  std::thread([state = state_, asked = (final ? kFinal : kPlain) + reason] {
    try {
      state->store->set(kDumpKey, asked);
    } catch (...) {  // no store, no asking
    }
  }).detach();
}

std::future<Heartbeat::Beats> Heartbeat::beats(std::vector<int64_t> ranks) const {
  std::promise<Beats> promise;
  auto future = promise.get_future();
  std::thread([promise = std::move(promise), state = state_, ranks = std::move(ranks)]() mutable {
    try {
      std::map<int64_t, uint64_t> found;
      for (int64_t rank : ranks) {
        const auto entry = read(*state->store, rank);
        found[rank] = entry ? entry->beat : 0;
      }
      promise.set_value(std::move(found));
    } catch (const std::exception&) {
      promise.set_value(std::nullopt);
    }
  }).detach();
  return future;
}

int64_t Heartbeat::rank() const { return state_->rank; }
std::chrono::milliseconds Heartbeat::interval() const { return state_->interval; }
std::string Heartbeat::address() const { return state_->store->address(); }

Heartbeat::Description Heartbeat::describePeers(const std::string& group, uint64_t sequence,
                                                const std::vector<int64_t>& ranks) {
  std::vector<int64_t> peers;
  for (int64_t rank : ranks) {
    if (rank != state_->rank) peers.push_back(rank);
  }
  // On a thread that may be abandoned: a store on a machine that vanished doesn't answer and doesn't refuse.
  auto promise = std::make_shared<std::promise<Description>>();
  auto future = promise->get_future();
  std::thread([promise, state = state_, group, sequence, peers] {
    promise->set_value(describe(*state->store, state->interval, group, sequence, peers));
  }).detach();
  if (future.wait_for(std::max<std::chrono::milliseconds>(kDiagnosisLimit, state_->interval * 8)) != std::future_status::ready) {
    return {"\n  unknown: the store at " + state_->store->address() + " doesn't answer", {}};
  }
  return future.get();
}

}  // namespace torchforge::comm
