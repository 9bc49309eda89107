// Starts the ranks of a test: N Node processes of one script, one thread each, killed after a hard limit. A script is
// written with rank.ts. This side never loads libtorch.
import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { resolve } from "node:path";
import type { TestContext } from "node:test";

/** What a rank tells its test. */
export type Message = { port: number } | { case: string; error?: string } | { note: string; value: unknown };

export interface Rank {
  rank: number;
  code: number | null;
  signal: NodeJS.Signals | null;
  stderr: string;
  /** Cases that ran, with the error's text where one failed. */
  cases: Map<string, string | undefined>;
  notes: Map<string, unknown>;
  seconds: number;
}

export interface LaunchOptions {
  args?: readonly string[];
  env?: (rank: number) => NodeJS.ProcessEnv;
  limitSeconds?: number;
  /** Gets the ranks' processes, for one that ends them. */
  onStart?: (children: readonly ChildProcess[]) => void;
}

/** Runs `ranks/<script>.ts` on `size` ranks and resolves when all have ended. */
export async function launch(script: string, size: number, options: LaunchOptions = {}): Promise<Rank[]> {
  const limit = (options.limitSeconds ?? 90) * 1000;
  const children: ChildProcess[] = [];
  const ranks = Array.from({ length: size }, (_, rank): Promise<Rank> => {
    const outcome: Rank = {
      rank,
      code: null,
      signal: null,
      stderr: "",
      cases: new Map(),
      notes: new Map(),
      seconds: 0,
    };
    const began = performance.now();
    const child = fork(resolve(import.meta.dirname, "ranks", `${script}.ts`), options.args ?? [], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      env: {
        ...process.env,
        OMP_NUM_THREADS: "1",
        TEST_RANK: String(rank),
        TEST_SIZE: String(size),
        ...options.env?.(rank),
      },
    });
    children.push(child);
    child.stderr!.setEncoding("utf8").on("data", (text: string) => (outcome.stderr += text));
    child.on("message", (message: Message) => {
      if ("port" in message) {
        for (const other of children) if (other !== child && other.connected) other.send(message);
      } else if ("case" in message) outcome.cases.set(message.case, message.error);
      else outcome.notes.set(message.note, message.value);
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), limit);
    return new Promise((done) => {
      child.on("close", (code, signal) => {
        clearTimeout(timer);
        done({
          ...outcome,
          code,
          signal,
          stderr: outcome.stderr,
          seconds: (performance.now() - began) / 1000,
        });
      });
    });
  });
  options.onStart?.(children);
  return await Promise.all(ranks);
}

/** Every case passed on every rank, each shown as a subtest, and every process ended well. */
export async function assertPassed(t: TestContext, ranks: readonly Rank[]): Promise<void> {
  const names = new Set(ranks.flatMap((rank) => [...rank.cases.keys()]));
  for (const name of names) {
    await t.test(name, () => {
      for (const { rank, cases } of ranks) {
        assert.ok(cases.has(name), `rank ${rank} did not get to this case`);
        assert.equal(cases.get(name), undefined, `rank ${rank}`);
      }
    });
  }
  for (const { rank, code, signal, stderr } of ranks) {
    assert.deepEqual({ rank, code, signal }, { rank, code: 0, signal: null }, stderr);
  }
  assert.ok(names.size > 0, "no case ran");
}
