// Ranks that train one run after another (ranks/train.ts): to start a process and load libtorch takes longer than a short run.
// A run that fails ends its ranks.
import { type ChildProcess, fork } from "node:child_process";
import { after } from "node:test";

import type { Message, Rank } from "../comm/launch.ts";

interface Member {
  readonly child: ChildProcess;
  stderr: string;
  notes: Map<string, unknown>;
  /** What waits for the end of the run, or of the process. */
  heard: () => void;
}

const pools = new Map<number, Member[]>();
after(() => {
  for (const member of [...pools.values()].flat()) if (member.child.connected) member.child.disconnect();
});

/** Ranks of as many processes as one run has; those of an earlier run of that size where there was one. */
export async function trainInPool(script: string, size: number, args: readonly string[]): Promise<Rank[]> {
  const members = pools.get(size) ?? start(`${script}.ts`, size);
  pools.set(size, members);
  const began = performance.now();
  const ended = members.map((member): Promise<Rank> => {
    member.notes = new Map();
    return new Promise((resolve) => {
      member.heard = () => {
        const { exitCode: code, signalCode: signal } = member.child;
        const isDone = member.notes.has("done");
        if (!isDone && code === null && signal === null) return;
        const seconds = (performance.now() - began) / 1000;
        const { notes, stderr } = member;
        const rank = members.indexOf(member);
        resolve({ rank, code: isDone ? 0 : code, signal, stderr, cases: new Map(), notes, seconds });
      };
    });
  });
  for (const { child } of members) child.send({ run: args });
  const ranks = await Promise.all(ended);
  if (ranks.some(({ code }) => code !== 0)) pools.delete(size);
  return ranks;
}

function start(program: string, size: number): Member[] {
  const members = Array.from({ length: size }, (_, rank): Member => {
    const child = fork(program, [], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      env: { ...process.env, OMP_NUM_THREADS: "1", TEST_RANK: String(rank), TEST_SIZE: String(size) },
    });
    const member: Member = { child, stderr: "", notes: new Map(), heard: () => undefined };
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (member.stderr += text));
    child.on("message", (message: Message) => {
      if ("port" in message) {
        for (const other of members) if (other !== member && other.child.connected) other.child.send(message);
      } else if ("note" in message) {
        member.notes.set(message.note, message.value);
        member.heard();
      }
    });
    child.on("close", () => member.heard());
    return member;
  });
  return members;
}
