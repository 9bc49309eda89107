// Finds the rank and the call that differ between the flight recorder dumps of several ranks. A group's collectives have the same
// sequence numbers on all ranks, so calls are compared number by number: the first one that differs, that some ranks didn't make,
// or that didn't end is a finding. Messages are paired by sender, receiver, tag and count.
// Reads no files (dumps.ts), formats no text (text.ts). Modelled on torch.distributed.flight_recorder (fr_trace).
import type { Call, Dump, DumpPeer } from "./dumps.ts";

/** Ranks that made the same call. */
export interface CallGroup {
  readonly ranks: readonly number[];
  readonly call: Call;
}

/** A rank that did not make the call. */
export interface AbsentRank {
  readonly rank: number;
  /** Whether the rank left a dump; if not, `known` is what the other ranks recorded about it. */
  readonly hasDump: boolean;
  /** Its last call in the group. */
  readonly last?: Call | undefined;
  /** The call that it waits in instead. */
  readonly waitsIn?: Call | undefined;
  readonly known?: DumpPeer | undefined;
}

export interface Finding {
  /**
   * mismatch: ranks made different calls; missing: some ranks didn't make the call; stalled: all made it, and it didn't end;
   * error: a rank failed with an error that isn't about communication.
   */
  readonly kind: "mismatch" | "missing" | "stalled" | "error";
  readonly group?: string;
  /** A collective's sequence number, or a message's count. */
  readonly sequence?: number;
  readonly calls: readonly CallGroup[];
  readonly absent: readonly AbsentRank[];
  /** mismatch: what differs. */
  readonly differs?: readonly string[];
  /** The likeliest culprits. */
  readonly suspects: readonly number[];
  /** mismatch: why these ranks, unless just because they are the minority. error: its message. */
  readonly why?: string;
}

export interface Analysis {
  readonly worldSize: number;
  readonly ranks: readonly number[];
  readonly withoutDump: readonly number[];
  readonly findings: readonly Finding[];
  /** Suspects of all findings, the likeliest first. */
  readonly suspects: readonly number[];
}

export function analyze(dumps: readonly Dump[]): Analysis {
  const worldSize = Math.max(0, ...dumps.map((dump) => dump.world_size));
  const byRank = new Map(dumps.map((dump) => [dump.rank, dump]));
  const withoutDump = Array.from({ length: worldSize }, (_, rank) => rank).filter(
    (rank) => !byRank.has(rank),
  );
  const names = new Set(dumps.flatMap(({ groups }) => groups.map(({ name }) => name)));
  const findings = [
    ...dumps.flatMap((dump) => errorFinding(dump)),
    ...[...names].flatMap((name) => collectiveFinding(name, byRank)),
    ...messageFindings(byRank),
  ];
  // Mismatches first, because one can cause an error: Gloo aborts a process that receives a message of the wrong size.
  const order = ["mismatch", "error", "missing", "stalled"];
  findings.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
  const allSuspects = findings.flatMap(({ suspects }) => suspects);
  // A rank without a dump was killed or crashed, which explains everything else.
  const dead = withoutDump.filter((rank) => allSuspects.includes(rank));
  return {
    worldSize,
    ranks: [...byRank.keys()],
    withoutDump,
    findings,
    suspects: [...new Set([...dead, ...allSuspects])],
  };
}

/** A finding if a rank dumped because of an error that isn't about communication. */
function errorFinding({ rank, reason, failure }: Dump): Finding[] {
  const prefix = `rank ${rank}: `;
  if (failure !== undefined || !reason.startsWith(prefix)) return [];
  return [{ kind: "error", calls: [], absent: [], suspects: [rank], why: reason.slice(prefix.length) }];
}

const isOpen = ({ state }: Call): boolean => state !== "completed";

/** The oldest call that a rank is waiting in, if any. */
function waitingCall(dump: Dump): Call | undefined {
  return dump.entries.find((call) => call.state === "waiting" || call.state === "failed");
}

type ByRank = ReadonlyMap<number, Dump>;

function collectiveFinding(group: string, byRank: ByRank): Finding[] {
  const members = [...byRank.values()]
    .flatMap(({ groups }) => groups.filter(({ name }) => name === group))
    .reduce<readonly number[]>((longest, { ranks }) => (ranks.length > longest.length ? ranks : longest), []);
  const present = members.filter((rank) => byRank.has(rank));
  const calls = new Map(
    present.map((rank) => [
      rank,
      new Map(
        byRank
          .get(rank)!
          .entries.filter((call) => call.group === group && call.kind === "collective")
          .map((call) => [call.sequence, call]),
      ),
    ]),
  );
  const lastOf = (rank: number): number =>
    byRank.get(rank)!.groups.find(({ name }) => name === group)?.last_enqueued ?? 0;
  const all = [...calls.values()].flatMap((callsOfRank) => [...callsOfRank.keys()]);
  // Calls that some rank's recorder has already dropped can't be compared.
  const first = Math.max(
    0,
    ...[...calls.values()].map((callsOfRank) => Math.min(...callsOfRank.keys())).filter(isFinite),
  );
  const last = Math.max(0, ...all);
  let stalled: Finding | undefined;
  for (let sequence = first; sequence <= last; sequence++) {
    const callers = present.filter((rank) => calls.get(rank)!.has(sequence));
    if (callers.length === 0) continue;
    const callOf = (rank: number): Call => calls.get(rank)!.get(sequence)!;
    const callGroups = sameCalls(callers, callOf);
    const splits = splitProblem(callers, members, callOf);
    const base = { group, sequence, calls: callGroups };
    if (callGroups.length > 1 || splits !== undefined) {
      const differs = splits === undefined ? differences(callGroups) : [splits];
      return [{ ...base, kind: "mismatch", absent: [], differs, ...suspectsOf(callGroups, calls, sequence) }];
    }
    if (!callers.some((rank) => isOpen(callOf(rank)))) continue;
    const absent = members
      .filter((rank) => !callers.includes(rank) && !(byRank.has(rank) && lastOf(rank) >= sequence))
      .map((rank) => absentRank(rank, group, byRank));
    if (absent.length > 0) {
      const idle = absent.filter((one) => one.waitsIn === undefined);
      const suspects = idle.map(({ rank }) => rank);
      return [{ ...base, kind: "missing", absent, suspects }];
    }
    stalled ??= { ...base, kind: "stalled", absent: [], suspects: [] };
  }
  return stalled === undefined ? [] : [stalled];
}

function absentRank(rank: number, group: string, byRank: ByRank): AbsentRank {
  const dump = byRank.get(rank);
  if (dump === undefined) {
    const known = [...byRank.values()]
      .filter(({ failure }) => failure?.group === group)
      .flatMap(({ peers = [] }) => peers.filter((peer) => peer.rank === rank))
      .at(0);
    return { rank, hasDump: false, known };
  }
  const last = dump.entries.findLast((call) => call.group === group && call.kind === "collective");
  return { rank, hasDump: true, last, waitsIn: waitingCall(dump) };
}

/** Groups ranks by call, the largest group first. */
function sameCalls(ranks: readonly number[], callOf: (rank: number) => Call): CallGroup[] {
  const found = new Map<string, { ranks: number[]; call: Call }>();
  for (const rank of ranks) {
    const call = callOf(rank);
    const key = JSON.stringify(Object.values(signature(call)));
    const same = found.get(key);
    if (same) same.ranks.push(rank);
    else found.set(key, { ranks: [rank], call });
  }
  return [...found.values()].sort((a, b) => b.ranks.length - a.ranks.length);
}

const numelOf = (shapes: Call["inputs"]): number[] => shapes.map((shape) => shape.reduce((a, b) => a * b, 1));

/** What must be equal on all ranks. Backends compare numbers of elements, not shapes. */
function signature(call: Call): Record<string, unknown> {
  const { operation, op, peer: root, dtype } = call;
  const name = operation.split(" ")[0]!;
  const sizesMayDiffer = name.startsWith("allToAll");
  return {
    operation,
    "reduce operation": op,
    root,
    dtype,
    "input sizes": sizesMayDiffer || name === "scatter" ? undefined : numelOf(call.inputs),
    "output sizes": sizesMayDiffer || name === "gather" ? undefined : numelOf(call.outputs),
  };
}

function differences(callGroups: readonly CallGroup[]): string[] {
  const signatures = callGroups.map(({ call }) => signature(call));
  const fields = Object.keys(signatures[0]!).filter(
    (field) => new Set(signatures.map((one) => JSON.stringify(one[field]))).size > 1,
  );
  // Different operations have different sizes anyway.
  return fields.includes("operation") ? ["operation"] : fields;
}

/** All-to-all: what rank a sends to rank b must be what b expects from a. */
function splitProblem(
  ranks: readonly number[],
  members: readonly number[],
  callOf: (rank: number) => Call,
): string | undefined {
  for (const a of ranks)
    for (const b of ranks) {
      const sent = callOf(a).input_splits?.[members.indexOf(b)];
      const expected = callOf(b).output_splits?.[members.indexOf(a)];
      if (sent !== undefined && expected !== undefined && sent !== expected)
        return `split sizes: rank ${a} sends ${sent} rows to rank ${b}, which expects ${expected}`;
    }
  return undefined;
}

/**
 * The minority. If the groups are equally large: the ranks whose call differs from the one that followed the previous call the
 * last time.
 */
function suspectsOf(
  callGroups: readonly CallGroup[],
  calls: ReadonlyMap<number, ReadonlyMap<number, Call>>,
  sequence: number,
): { suspects: number[]; why?: string } {
  const [largest, ...others] = callGroups as [CallGroup, ...CallGroup[]];
  const all = callGroups.flatMap(({ ranks }) => [...ranks]);
  if (others.length === 0) return { suspects: all };
  if (largest.ranks.length > others[0]!.ranks.length)
    return { suspects: others.flatMap(({ ranks }) => [...ranks]) };
  const identity = (call: Call | undefined): string =>
    call === undefined ? "" : JSON.stringify([...Object.values(signature(call)), call.site]);
  const history = calls.get(all[0]!)!;
  const before = history.get(sequence - 1);
  if (before === undefined) return { suspects: all };
  for (let at = sequence - 2; history.has(at); at--) {
    if (identity(history.get(at)) !== identity(before)) continue;
    const followed = history.get(at + 1)!;
    const expected = callGroups.find(({ call }) => identity(call) === identity(followed));
    if (expected === undefined) break;
    const suspects = all.filter((rank) => !expected.ranks.includes(rank));
    const after = `which came after #${at}, a call like #${sequence - 1}`;
    return { suspects, why: `left out or changed ${followed.operation}, ${after}` };
  }
  return { suspects: all };
}

/** Incomplete messages, each reported once, by the waiting side. */
function messageFindings(byRank: ByRank): Finding[] {
  const findings: Finding[] = [];
  for (const dump of byRank.values())
    for (const call of dump.entries) {
      if (call.kind !== "message" || !isOpen(call)) continue;
      const finding = messageFinding(dump, call, byRank);
      if (finding !== undefined) findings.push(finding);
    }
  return findings;
}

function messageFinding(dump: Dump, call: Call, byRank: ByRank): Finding | undefined {
  const { group, tag, number, peer } = call;
  // A receive from any rank waits for none in particular.
  if (peer === undefined) return undefined;
  const receives = call.operation === "recv";
  const caller: CallGroup = { ranks: [dump.rank], call };
  const base = { group, sequence: number!, calls: [caller] };
  const other = byRank.get(peer);
  const numStarted =
    other?.groups
      .find(({ name }) => name === group)
      ?.messages.find(
        (one) => one.peer === dump.rank && one.tag === tag && one.direction === (receives ? "send" : "recv"),
      )?.count ?? 0;
  if (numStarted < number!) {
    const absent = absentRank(peer, group, byRank);
    const suspects = absent.waitsIn === undefined ? [peer] : [];
    return { ...base, kind: "missing", absent: [absent], suspects };
  }
  const match = other!.entries.find(
    (one) =>
      one.kind === "message" &&
      one.group === group &&
      one.peer === dump.rank &&
      one.tag === tag &&
      one.number === number &&
      one.operation !== call.operation,
  );
  // Of a pair, the receiver reports.
  if (!receives || match === undefined) return undefined;
  const calls = [caller, { ranks: [peer], call: match }];
  const differs = [
    ...(match.dtype === call.dtype ? [] : ["dtype"]),
    ...(String(numelOf(match.inputs)) === String(numelOf(call.outputs)) ? [] : ["size"]),
  ];
  if (differs.length > 0)
    return { ...base, calls, kind: "mismatch", absent: [], differs, suspects: [dump.rank, peer] };
  return { ...base, calls, kind: "stalled", absent: [], suspects: [] };
}
