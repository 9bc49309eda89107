// A notebook's life: one kernel that runs cells for as long as asked, good, failing, displaying and redefining ones, with interrupts,
// completions and what no message can carry in between. Every answer is checked, and now and then what the kernel costs: memory,
// open files, tensors, and the processor time of an answer, which may not grow with the cells that ran.
import { readdirSync, readFileSync } from "node:fs";

import { KernelClient, type Executed } from "../notebook/kernel-client.ts";
import { random, type Random } from "../torch/fuzz/random.ts";
import type { Part } from "./part.ts";

/** Cells between two measurements. */
const perMeasurement = 250;
const names = Array.from({ length: 40 }, (_, i) => `value${i}`);

/** What the kernel is known to hold: the text that a variable shows. */
type Known = Map<string, string>;

interface Cell {
  readonly code: string;
  /** What is wrong with the answer, if something is. */
  readonly check: (answer: Executed) => string | undefined;
  /** Interrupted as soon as it prints "now". */
  readonly isInterrupted?: boolean;
}

const shows =
  (expected: string) =>
  ({ status, result, traceback }: Executed): string | undefined =>
    status === "ok" && result === expected ? undefined : `expected ${expected}, found ${result ?? traceback}`;

const fails =
  (name: string, pattern: RegExp) =>
  ({ ename, traceback }: Executed): string | undefined =>
    ename === name && pattern.test(traceback) ? undefined : `expected ${name}, found ${ename}: ${traceback}`;

const cells: readonly ((rng: Random, n: number, known: Known) => Cell)[] = [
  // A name gets another value, of another type.
  (rng, n, known) => {
    const name = rng.pick(names);
    const [code, shown] = rng.pick([
      [`${n}`, `${n}`],
      [`"text ${n}"`, `'text ${n}'`],
      [`[${n}, ${n + 1}]`, `[ ${n}, ${n + 1} ]`],
      [`(x: number): number => x + ${n}`, undefined],
      [`class { n = ${n} }`, undefined],
    ] as [string, string | undefined][]);
    if (shown === undefined) known.delete(name);
    else known.set(name, shown);
    return {
      code: `const ${name} = ${code};`,
      check: ({ status, traceback }) => (status === "ok" ? undefined : traceback),
    };
  },
  // It is still there.
  (rng, n, known) => {
    const [name, shown] = rng.pick([...known, ["undefined", "undefined"]] as [string, string][]);
    return shown === "undefined"
      ? { code: `${n} * 2`, check: shows(`${n * 2}`) }
      : { code: name, check: shows(shown) };
  },
  (_, n) => ({
    code: `import { ones } from "torchforge/torch";\nconst tensor = ones([1000, ${1 + (n % 50)}]); tensor.sum().item()`,
    check: shows(`${1000 * (1 + (n % 50))}`),
  }),
  (_, n) => ({ code: `throw new Error("on purpose ${n}")`, check: fails("Error", /on purpose \d+/) }),
  (_, n) => ({ code: `const = ${n}`, check: fails("SyntaxError", /./) }),
  () => ({ code: "notThere.field", check: fails("ReferenceError", /notThere is not defined/) }),
  (rng) => {
    const lines = 1 + rng.below(2000);
    return {
      code: `for (let i = 0; i < ${lines}; i++) console.log("line", i); ${lines}`,
      check: (answer) =>
        answer.stdout.endsWith(`line ${lines - 1}\n`)
          ? shows(`${lines}`)(answer)
          : "its last line is missing",
    };
  },
  (_, n) => ({
    code: `display({ "text/html": "<b>${n}</b>", "text/plain": "${n}" }, { raw: true }); display([${n}])`,
    check: ({ shown, traceback }) =>
      shown.length === 2 ? undefined : `expected two outputs, found ${shown.length}: ${traceback}`,
  }),
  () => ({
    code: `display({ "application/json": { n: 1n } }, { raw: true })`,
    check: fails("TypeError", /BigInt/),
  }),
  () => ({
    code: `const ring: any = {}; ring.ring = ring; display({ "application/json": ring }, { raw: true })`,
    check: fails("TypeError", /circular/),
  }),
  () => ({ code: `display({ "text/html": "\\ud83d" }, { raw: true }); "half"`, check: shows("'half'") }),
  (rng) => ({
    code: `console.log("now"); ${rng.pick(["for (;;);", "await new Promise(() => {});", "for (;;) await 1;"])}`,
    check: fails("Interrupted", /./),
    isInterrupted: true,
  }),
];

async function run(kernel: KernelClient, { code, isInterrupted }: Cell): Promise<Executed> {
  let sent = false;
  return await kernel.execute(code, {}, ({ content }) => {
    if (isInterrupted !== true || sent || content["text"] !== "now\n") return;
    sent = true;
    void kernel.interrupt();
  });
}

async function completes(kernel: KernelClient, code: string, expected: string): Promise<string | undefined> {
  const { reply } = await kernel.request("shell", "complete_request", { code, cursor_pos: code.length });
  const matches = reply.content["matches"] as string[];
  return matches.includes(expected) ? undefined : `completion of ${code} doesn't have ${expected}`;
}

interface Costs {
  /** MB of the heap after a collection, and of the whole process. */
  readonly heap: number;
  readonly rss: number;
  readonly files: number;
  readonly tensors: number;
  /** Milliseconds of processor time, all threads, for twenty cells and three completions. */
  readonly answers: number;
}

/** Where Linux tells them. */
async function costsOf(kernel: KernelClient): Promise<Costs | undefined> {
  if (process.platform !== "linux") return undefined;
  const proc = `/proc/${kernel.process.pid}`;
  const cpu = (): number => {
    const fields = readFileSync(`${proc}/stat`, "utf8").split(") ")[1]!.split(" ");
    return 10 * (Number(fields[11]) + Number(fields[12]));
  };
  const number = async (code: string): Promise<number> => Number((await kernel.execute(code)).result);
  const before = cpu();
  for (let i = 0; i < 20; i++) await kernel.execute(`${i} + 1`);
  for (const code of ["val", "JSON.str", "tensor.su"]) await completes(kernel, code, "");
  const answers = cpu() - before;
  const heap = await number(
    "globalThis.gc ??= (await import('node:v8')).setFlagsFromString('--expose-gc') ?? (await import('node:vm')).runInNewContext('gc'); " +
      "for (let i = 0; i < 3; i++) { globalThis.gc(); await new Promise((done) => setTimeout(done, 20)); } process.memoryUsage().heapUsed / 2 ** 20",
  );
  const tensors = await number("import { memoryStats } from 'torchforge/torch'; memoryStats().liveTensors");
  const rss = (Number(readFileSync(`${proc}/statm`, "utf8").split(" ")[1]) * 4096) / 2 ** 20;
  return { heap, rss, files: readdirSync(`${proc}/fd`).length, tensors, answers };
}

/** What may be more than at the first measurement: a cell's names and types, and what a collector hasn't come to. */
const slack: Costs = { heap: 64, rss: 400, files: 16, tensors: 200, answers: 1500 };

function grown(first: Costs, now: Costs): string[] {
  return (Object.keys(slack) as (keyof Costs)[])
    .filter((key) => now[key] > 2 * first[key] + slack[key])
    .map((key) => `${key}: ${Math.round(first[key])} at first, ${Math.round(now[key])} now`);
}

export const notebook: Part = {
  unit: "cells",
  async run({ seed, goesOn, note }) {
    const lost: string[] = [];
    const rng = random(seed);
    const known: Known = new Map();
    await using kernel = await KernelClient.start();
    let first: Costs | undefined;
    let made = 0;
    for (; goesOn(made); made++) {
      const cell = rng.pick(cells)(rng, made, known);
      const wrong =
        cell.check(await run(kernel, cell)) ??
        (rng.chance(0.05) ? await completes(kernel, "JSON.stringi", "stringify") : undefined);
      if (wrong !== undefined)
        lost.push(`npm run soak -- notebook --count ${made + 1} --seed ${seed}: ${cell.code}\n${wrong}`);
      if ((made + 1) % perMeasurement !== 0) continue;
      const costs = await costsOf(kernel);
      if (costs === undefined) continue;
      note(
        `${made + 1} cells: ${JSON.stringify(costs, (_, value: unknown) => (typeof value === "number" ? Math.round(value) : value))}`,
      );
      first ??= costs;
      lost.push(...grown(first, costs).map((text) => `after ${made + 1} cells, seed ${seed}: ${text}`));
    }
    return { made, lost };
  },
};
