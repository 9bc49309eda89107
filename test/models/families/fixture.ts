// What make_fixtures.py left of a family, and its weights, which are a hash of their names and places.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32, gunzipSync } from "node:zlib";

import { writeModelWeights } from "../../../src/safetensors/index.ts";

/** The root of the sum of squares, then the sums with hashed factors. */
export type Probes = readonly number[];

export interface Fixture {
  readonly name: string;
  /** config.json as Transformers wrote it, to the byte: it takes no 3 for 3.0. */
  readonly configText: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly weights: readonly (readonly [name: string, shape: number[], center: number, spread: number])[];
  readonly documents: readonly (readonly number[])[];
  readonly untrained: readonly number[];
  readonly prompts: readonly (readonly number[])[];
  readonly answers: readonly (readonly number[])[];
  readonly optimizer: { readonly lr: number; readonly eps: number; readonly weightDecay: number };
  readonly losses: readonly number[];
  /** Of each token. */
  readonly logits: readonly Probes[];
  /** By the names of files. */
  readonly gradients: Readonly<Record<string, Probes>>;
}

export const names = Object.keys(
  JSON.parse(readFileSync(join(import.meta.dirname, "families.json"), "utf8")) as object,
);

export function readFixture(name: string): Fixture {
  const packed = readFileSync(join(import.meta.dirname, `${name}.json.gz`));
  const stored = JSON.parse(gunzipSync(packed).toString()) as Omit<Fixture, "name" | "config">;
  return { ...stored, name, config: JSON.parse(stored.configText) as Fixture["config"] };
}

/** Numbers in [-1, 1), the same in make_fixtures.py. */
function hashed(seed: number, count: number): Float64Array {
  const found = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    let x = Math.imul(seed + i, 2654435761);
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    found[i] = ((x ^ (x >>> 16)) >>> 0) / 2 ** 31 - 1;
  }
  return found;
}

/** Of `sums` sums, beside the root of the sum of squares. */
export function probesOf(values: Float64Array, sums: number): Probes {
  const factors = Array.from({ length: sums }, (_, k) => hashed(1000003 * (k + 1), values.length));
  const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, one, i) => sum + one * b[i]!, 0);
  return [Math.sqrt(dot(values, values)), ...factors.map((one) => dot(values, one))];
}

/** A model folder as Transformers wrote it. */
export function writeModel(folder: string, { configText, weights }: Fixture): void {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "config.json"), configText);
  const tensors = weights.map(([name, shape, center, spread]) => ({
    name,
    dtype: "F32" as const,
    shape,
    *data() {
      const count = shape.reduce((a, b) => a * b, 1);
      const values = Float32Array.from(hashed(crc32(name), count), (one) => center + spread * one);
      yield new Uint8Array(values.buffer);
    },
  }));
  writeModelWeights(folder, tensors);
}
