// What a rank sent, from the files of its flight recorder: bytes by kind of call, where the ranks of a group pass the data
// round in a ring, as `torchforge simulate` counts them.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { readDumps, type Call } from "../../src/cli/commands/comm/dumps.ts";
import { dumpFlightRecorder, flightRecorderFolder } from "../../src/comm/index.ts";
import { dtypeOfName } from "../../src/torch/index.ts";

export type Sent = Record<string, { calls: number; bytes: number }>;

/** The calls of this process while `body` runs; its recorder is on. */
export function recordSent(rank: number, body: () => void): Sent {
  const folder = mkdtempSync(join(tmpdir(), "torchforge-calls-"));
  const read = (name: string) => {
    flightRecorderFolder(join(folder, name));
    dumpFlightRecorder("what was sent");
    return readDumps(join(folder, name)).dumps.find((dump) => dump.rank === rank)!;
  };
  try {
    const before = read("before").entries.length;
    body();
    const { entries, groups } = read("after");
    const sent: Sent = {};
    for (const call of entries.slice(before)) {
      const kind = kindOf(call);
      if (kind === undefined) continue;
      const { ranks } = groups.find(({ name }) => name === call.group)!;
      const found = (sent[kind] ??= { calls: 0, bytes: 0 });
      found.calls++;
      found.bytes += bytesOf(call, kind, ranks.length, ranks.indexOf(rank));
    }
    return sent;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Backwards of a gather is a reduce-scatter and the other way round. Gloo has no reduce-scatter: it is an all-to-all, with
 * the sum taken afterwards.
 */
function kindOf({ operation }: Call): string | undefined {
  const isBackward = operation.endsWith("(backward)");
  if (operation.startsWith("allGather")) return isBackward ? "all-to-all" : "all-gather";
  if (operation.startsWith("reduceScatter")) return isBackward ? "all-gather" : "all-to-all";
  if (/^(allReduce|copyToRegion|reduceFromRegion)/.test(operation)) return "all-reduce";
  if (/^(allToAll|ringAttention)/.test(operation)) return "all-to-all";
  if (operation === "send") return "send";
  return undefined;
}

function bytesOf(call: Call, kind: string, size: number, at: number): number {
  const { itemSize } = dtypeOfName(call.dtype!)!;
  const inputs = call.inputs.map((shape) => shape.reduce((a, b) => a * b, itemSize));
  const bytes = inputs.reduce((a, b) => a + b, 0);
  switch (kind) {
    case "all-gather":
      return bytes * (size - 1);
    case "all-reduce":
      return (2 * bytes * (size - 1)) / size;
    case "all-to-all": {
      const [rows] = call.inputs[0]!;
      const own = call.input_splits?.[at] ?? rows! / size;
      return rows === 0 ? 0 : bytes - (bytes / rows!) * own;
    }
    default:
      return bytes;
  }
}
