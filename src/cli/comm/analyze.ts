// Finds, from the dumps of several ranks, which rank and which call differ. Collectives of a group are numbered alike on all
// its ranks, so the calls of one number are laid beside each other: of the first number where they are not the same call,
// not called by all, or not ended, it is told who is how. Messages are paired by sender, receiver, tag and count.
// Pure: files are dumps.ts's, words are text.ts's. Source of the idea: torch.distributed.flight_recorder (fr_trace).
import type { Call, Dump, PeerOfDump } from "./dumps.ts";

/** Ranks that made the same call. */
export interface Calls {
  readonly ranks: readonly number[];
  readonly call: Call;
}

/** A rank that hasn't made the call. */
export interface Absent {
  readonly rank: number;
  /** Whether it left a dump; if not, `known` is what others knew of it. */
  readonly hasDump: boolean;
  /** Its last call of the group. */
  readonly last?: Call | undefined;
  /** What it waits in instead. */
  readonly waitsIn?: Call | undefined;
  readonly known?: PeerOfDump | undefined;
}

export interface Finding {
  /**
   * mismatch: ranks make different calls; missing: some wait for others, which don't call; stalled: all call, and it
   * doesn't end; error: a rank ended with an error of its own.
   */
  readonly kind: "mismatch" | "missing" | "stalled" | "error";
  readonly group?: string;
  /** Of collectives their sequence number, of messages their count. */
  readonly sequence?: number;
  readonly calls: readonly Calls[];
  readonly absent: readonly Absent[];
  /** mismatch: what differs. */
  readonly differs?: readonly string[];
  /** Who is to be looked at first. */
  readonly suspects: readonly number[];
  /** mismatch: why these, where it is more than that they are fewer. error: its text. */
  readonly why?: string;
}

export interface Analysis {
  readonly worldSize: number;
  readonly ranks: readonly number[];
  readonly withoutDump: readonly number[];
  readonly findings: readonly Finding[];
  /** Of all findings, the likeliest cause first. */
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
    ...dumps.flatMap((dump) => ownError(dump)),
    ...[...names].flatMap((name) => collectiveFinding(name, byRank)),
    ...messageFindings(byRank),
  ];
  // An error may be what became of a mismatch: Gloo ends the process that gets a message of another size.
  const order = ["mismatch", "error", "missing", "stalled"];
  findings.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
  const guilty = findings.flatMap(({ suspects }) => suspects);
  // A rank that left nothing was killed or crashed, which explains all the rest.
  const dead = withoutDump.filter((rank) => guilty.includes(rank));
  return {
    worldSize,
    ranks: [...byRank.keys()],
    withoutDump,
    findings,
    suspects: [...new Set([...dead, ...guilty])],
  };
}

/** A rank that wrote its dump because of an error that wasn't one of communication. */
function ownError({ rank, reason, failure }: Dump): Finding[] {
  const mark = `rank ${rank}: `;
  if (failure !== undefined || !reason.startsWith(mark)) return [];
  return [{ kind: "error", calls: [], absent: [], suspects: [rank], why: reason.slice(mark.length) }];
}

const isOpen = ({ state }: Call): boolean => state !== "completed";

/** The oldest call that a rank is in, if it is in one. */
function waitsIn(dump: Dump): Call | undefined {
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
  const all = [...calls.values()].flatMap((own) => [...own.keys()]);
  // What some rank's memory no longer has can't be compared.
  const first = Math.max(0, ...[...calls.values()].map((own) => Math.min(...own.keys())).filter(isFinite));
  const last = Math.max(0, ...all);
  let stalled: Finding | undefined;
  for (let sequence = first; sequence <= last; sequence++) {
    const there = present.filter((rank) => calls.get(rank)!.has(sequence));
    if (there.length === 0) continue;
    const callOf = (rank: number): Call => calls.get(rank)!.get(sequence)!;
    const classes = sameCalls(there, callOf);
    const splits = splitProblem(there, members, callOf);
    const base = { group, sequence, calls: classes };
    if (classes.length > 1 || splits !== undefined) {
      const differs = splits === undefined ? differences(classes) : [splits];
      return [{ ...base, kind: "mismatch", absent: [], differs, ...guiltyOf(classes, calls, sequence) }];
    }
    if (!there.some((rank) => isOpen(callOf(rank)))) continue;
    const absent = members
      .filter((rank) => !there.includes(rank) && !(byRank.has(rank) && lastOf(rank) >= sequence))
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

function absentRank(rank: number, group: string, byRank: ByRank): Absent {
  const dump = byRank.get(rank);
  if (dump === undefined) {
    const known = [...byRank.values()]
      .filter(({ failure }) => failure?.group === group)
      .flatMap(({ peers = [] }) => peers.filter((peer) => peer.rank === rank))
      .at(0);
    return { rank, hasDump: false, known };
  }
  const last = dump.entries.findLast((call) => call.group === group && call.kind === "collective");
  return { rank, hasDump: true, last, waitsIn: waitsIn(dump) };
}

/** Ranks by what they call, most ranks first. */
function sameCalls(ranks: readonly number[], callOf: (rank: number) => Call): Calls[] {
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

/** What of a call must be the same on all ranks. Backends look at numbers of elements, not at shapes. */
function signature(call: Call): Record<string, unknown> {
  const { operation, op, peer: root, dtype } = call;
  const name = operation.split(" ")[0]!;
  const free = name.startsWith("allToAll");
  return {
    operation,
    "reduce operation": op,
    root,
    dtype,
    "input sizes": free || name === "scatter" ? undefined : numelOf(call.inputs),
    "output sizes": free || name === "gather" ? undefined : numelOf(call.outputs),
  };
}

function differences(classes: readonly Calls[]): string[] {
  const signatures = classes.map(({ call }) => signature(call));
  const fields = Object.keys(signatures[0]!).filter(
    (field) => new Set(signatures.map((one) => JSON.stringify(one[field]))).size > 1,
  );
  // Another operation has other sizes, of course.
  return fields.includes("operation") ? ["operation"] : fields;
}

/** All-to-all: what rank a sends to rank b is what b expects of a. */
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
 * The ranks that are fewer. Where there are as many of both: those that don't make the call that last time followed the one
 * before.
 */
function guiltyOf(
  classes: readonly Calls[],
  calls: ReadonlyMap<number, ReadonlyMap<number, Call>>,
  sequence: number,
): { suspects: number[]; why?: string } {
  const [most, ...others] = classes as [Calls, ...Calls[]];
  const all = classes.flatMap(({ ranks }) => [...ranks]);
  if (others.length === 0) return { suspects: all };
  if (most.ranks.length > others[0]!.ranks.length)
    return { suspects: others.flatMap(({ ranks }) => [...ranks]) };
  const identity = (call: Call | undefined): string =>
    call === undefined ? "" : JSON.stringify([...Object.values(signature(call)), call.site]);
  const history = calls.get(all[0]!)!;
  const before = history.get(sequence - 1);
  if (before === undefined) return { suspects: all };
  for (let at = sequence - 2; history.has(at); at--) {
    if (identity(history.get(at)) !== identity(before)) continue;
    const followed = history.get(at + 1)!;
    const right = classes.find(({ call }) => identity(call) === identity(followed));
    if (right === undefined) break;
    const suspects = all.filter((rank) => !right.ranks.includes(rank));
    const after = `which came after #${at}, a call like #${sequence - 1}`;
    return { suspects, why: `left out or changed ${followed.operation}, ${after}` };
  }
  return { suspects: all };
}

/** Messages that aren't through: each once, from the side that waits. */
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
  // From any rank: nobody in particular is waited for.
  if (peer === undefined) return undefined;
  const receives = call.operation === "recv";
  const own: Calls = { ranks: [dump.rank], call };
  const base = { group, sequence: number!, calls: [own] };
  const other = byRank.get(peer);
  const begun =
    other?.groups
      .find(({ name }) => name === group)
      ?.messages.find(
        (one) => one.peer === dump.rank && one.tag === tag && one.direction === (receives ? "send" : "recv"),
      )?.count ?? 0;
  if (begun < number!) {
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
  // The receiver tells of a pair.
  if (!receives || match === undefined) return undefined;
  const calls = [own, { ranks: [peer], call: match }];
  const differs = [
    ...(match.dtype === call.dtype ? [] : ["dtype"]),
    ...(String(numelOf(match.inputs)) === String(numelOf(call.outputs)) ? [] : ["size"]),
  ];
  if (differs.length > 0)
    return { ...base, calls, kind: "mismatch", absent: [], differs, suspects: [dump.rank, peer] };
  return { ...base, calls, kind: "stalled", absent: [], suspects: [] };
}
