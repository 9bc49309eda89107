// Makes random calls over the whole binding, most of them wrong: `child.ts SEED COUNT [LOGFILE]`. Errors are what it
// expects; the process must not die. Each call is written to LOGFILE before it is made, so that the parent can name the
// one that ended the process. Not a test of results.
import { openSync, writeSync } from "node:fs";

import { chooseOperators, type Group } from "../../../scripts/generate/operators.ts";
import { parseSchema, type Schema } from "../../../scripts/generate/schema.ts";
import * as torch from "../../../src/torch/index.ts";
import { addon } from "../../../src/torch/introspect.ts";
import { excluded } from "./excluded.ts";
import { mistakes, Values, type Mistake } from "./values.ts";
import { random, type Random } from "./random.ts";
import { extras } from "./extras.ts";
import { Samples } from "./samples.ts";

const seed = Number(process.argv[2]);
const count = Number(process.argv[3]);
const log = process.argv[4] === undefined ? undefined : openSync(process.argv[4], "w");
// While looking for what is wrong: operators whose names match, and those to leave out.
const only = process.env["FUZZ_ONLY"] === undefined ? undefined : new RegExp(process.env["FUZZ_ONLY"]);

torch.setNumThreads(1);
torch.setMemoryLimit(256 * 2 ** 20);

type Callable = (...args: unknown[]) => unknown;
const functions = torch as unknown as Record<string, Callable | undefined>;
const skipped = new Set(process.env["FUZZ_SKIP"]?.split(","));
const groups = chooseOperators(addon().schemas()).filter(
  (group) =>
    !(group.name in excluded) && !skipped.has(group.name) && (only === undefined || only.test(group.name)),
);

const own = addon()
  .schemas()
  .filter((text) => text.startsWith("forge::") && (only === undefined || only.test(text.split("(")[0]!)))
  .map((text) => parseSchema(text))
  .filter((schema) => !skipped.has(schema.name.slice("forge::".length)));

const rng: Random = random(seed);
const counts = { calls: 0, errors: 0, results: 0 };
const tried = Object.fromEntries(mistakes.map((one) => [one, 0])) as Record<Mistake, number>;
const mistaken = (mistake: Mistake): void => void tried[mistake]++;

function argumentsOf(schema: Schema, values: Values): unknown[] {
  const args: unknown[] = [];
  const options: Record<string, unknown> = {};
  const known = Samples.of(schema.overload === "" ? schema.name : `${schema.name}.${schema.overload}`);
  // torch.call, by which our own operators are reached, takes all arguments in order.
  const inOrder = schema.name.startsWith("forge::");
  const sample = known.length > 0 && rng.chance(0.75) ? rng.pick(known) : undefined;
  const samples = new Samples(torch, rng, values);
  // Most often one or two of a sample's arguments are changed.
  const changes = sample === undefined ? 0 : rng.pick([0, 0, 1, 1, 1, 1, 2, 2, 3, 5]);
  const given = schema.arguments.filter((one) => sample !== undefined && one.name in sample);
  const changed = new Set(
    Array.from({ length: given.length === 0 ? 0 : changes }, () => rng.pick(given).name),
  );
  for (const one of schema.arguments) {
    const name = one.name.replaceAll(/_+([a-z0-9])/g, (_, c: string) => c.toUpperCase());
    const isOptional = one.default !== undefined;
    const isKnown = sample !== undefined && one.name in sample;
    if (!inOrder && isOptional && (sample === undefined ? rng.chance(0.5) : !isKnown && rng.chance(0.9))) {
      if (!one.keywordOnly && rng.chance(0.5)) args.push(undefined);
      continue;
    }
    const value = isKnown
      ? changed.has(one.name)
        ? samples.change(sample[one.name])
        : samples.decode(sample[one.name])
      : rng.chance(0.06)
        ? values.any()
        : values.ofType(one.type);
    if (inOrder) args.push(value);
    else if (one.keywordOnly || (isOptional && rng.chance(0.3))) options[name] = value;
    else args.push(value);
  }
  if (rng.chance(0.02)) {
    args.splice(rng.below(args.length + 1), 1);
    mistaken("wrong count");
  }
  if (rng.chance(0.02)) {
    args.splice(rng.below(args.length + 1), 0, values.any());
    mistaken("wrong count");
  }
  if (rng.chance(0.02)) options["noSuchOption"] = 1;
  if (Object.keys(options).length > 0 || rng.chance(0.02)) args.push(options);
  return args;
}

function show(value: unknown): string {
  if (value instanceof torch.Tensor) {
    try {
      return `Tensor(${value.dtype.name}[${value.shape}]${value.layout === "strided" ? "" : value.layout}${value.device.type === "cpu" ? "" : value.device.type}${value.requiresGrad ? "g" : ""})`;
    } catch {
      return "Tensor(disposed)";
    }
  }
  if (Array.isArray(value)) return `[${value.map(show).join(", ")}]`;
  if (value instanceof torch.Dtype || value instanceof torch.Device) return String(value);
  if (typeof value === "object" && value !== null)
    return `{${Object.entries(value)
      .map(([key, one]) => `${key}: ${show(one)}`)
      .join(", ")}}`;
  return typeof value === "bigint"
    ? `${value}n`
    : typeof value === "string"
      ? JSON.stringify(value)
      : String(value);
}

function note(text: string): void {
  if (log !== undefined) writeSync(log, `${text}\n`.padEnd(120), 0);
}

function attempt(name: string, args: readonly unknown[], body: () => unknown, values: Values): void {
  counts.calls++;
  note(`${name}(${args.map(show).join(", ")})`);
  const started = performance.now();
  try {
    const result = body();
    counts.results++;
    // What an operator returns is as good an argument as any: and reading it must be safe.
    for (const one of [result].flat()) {
      if (!(one instanceof torch.Tensor) || one.handle === 0) continue;
      note(`reading the result of ${name}(${args.map(show).join(", ")})`);
      if (rng.chance(0.3)) void String(one);
      values.offer(one);
      if (rng.chance(0.2) && one.requiresGrad) one.sum().backward();
    }
  } catch (error) {
    if (!(error instanceof Error)) throw new Error(`${name} threw ${String(error)}`, { cause: error });
    counts.errors++;
  }
  const took = performance.now() - started;
  if (took > 3000) console.error(`slow: ${Math.round(took)} ms ${name}(${args.map(show).join(", ")})`);
}

const perScope = 50;
const special = extras(torch, rng);
while (counts.calls < count) {
  using _ = torch.scope();
  note("making tensors");
  const values = new Values(torch, rng, mistaken);
  for (let i = 0; i < perScope && counts.calls < count; i++) {
    if (only === undefined && rng.chance(0.1)) {
      const one = rng.pick(special);
      attempt(one.name, [], () => one.call(values), values);
      continue;
    }
    const forge = own.length > 0 && rng.chance(groups.length === 0 ? 1 : 0.05) ? rng.pick(own) : undefined;
    const group: Group = forge
      ? { name: forge.name, tsName: forge.name, overloads: [forge] }
      : rng.pick(groups);
    note(`making arguments of ${group.name}`);
    let args: unknown[];
    try {
      args = argumentsOf(rng.pick(group.overloads), values);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      continue; // not every tensor has every layout
    }
    const first = args[0];
    const asMethod = first instanceof torch.Tensor && rng.chance(0.5);
    const body = () => {
      if (forge) return torch.call(forge.name, ...args);
      const method: unknown = asMethod ? Reflect.get(torch.Tensor.prototype, group.tsName, first) : undefined;
      return typeof method === "function"
        ? (method as Callable).apply(first, args.slice(1))
        : functions[group.tsName]!(...args);
    };
    attempt(group.name, args, body, values);
  }
}
console.log(JSON.stringify({ ...counts, tried, liveTensors: torch.memoryStats().liveTensors }));
