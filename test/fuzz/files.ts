// Damaged safetensors and GGUF files: bytes changed, cut out, doubled, put in; lengths and counts in headers made absurd. Each is
// read whole, as a model is. It may turn out readable; any error must be a UserError, which says what is wrong with the file.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

import { importGguf } from "../../src/gguf/index.ts";
import { openModelWeights } from "../../src/safetensors/index.ts";
import { UserError } from "../../src/util/index.ts";
import { random, type Random } from "../torch/fuzz/random.ts";
import type { Part } from "./part.ts";

const test = resolve(import.meta.dirname, "..");

interface Sample {
  readonly name: string;
  readonly bytes: Buffer;
  readonly read: (bytes: Buffer, folder: string) => void;
}

function readWeights(bytes: Buffer, folder: string): void {
  writeFileSync(join(folder, "model.safetensors"), bytes);
  using source = openModelWeights(folder);
  for (const name of source.names) source.read(name);
}

function readGguf(bytes: Buffer, folder: string): void {
  const path = join(folder, "model.gguf");
  writeFileSync(path, bytes);
  importGguf(path, join(folder, "imported"));
}

function samples(): Sample[] {
  const ggufs = join(test, "gguf", "fixtures");
  const models = join(test, "fixtures", "models");
  const read = (path: string): Buffer => readFileSync(path);
  return [
    ...readdirSync(ggufs)
      .filter((name) => name.endsWith(".gguf"))
      .map((name) => ({ name, bytes: read(join(ggufs, name)), read: readGguf })),
    ...readdirSync(models, { withFileTypes: true })
      .filter((one) => one.isDirectory())
      .map(({ name }) => ({
        name: `${name}/model.safetensors`,
        bytes: read(join(models, name, "model.safetensors")),
        read: readWeights,
      })),
    {
      name: "dtypes.safetensors",
      bytes: read(join(test, "safetensors", "dtypes.safetensors")),
      read: readWeights,
    },
  ];
}

/** Numbers that break what trusts them. */
const absurd = [
  0n,
  1n,
  0x7fn,
  0xffn,
  0x7fffffffn,
  0xffffffffn,
  1n << 40n,
  (1n << 63n) - 1n,
  (1n << 64n) - 1n,
];

/** A damaged copy: one to four changes, most of them near the beginning, where headers are. */
export function damage(original: Buffer, rng: Random): Buffer {
  let bytes = Buffer.from(original);
  for (let changes = 1 + rng.below(4); changes > 0; changes--) {
    const reach = rng.chance(0.7) ? Math.min(bytes.length, 4096) : bytes.length;
    const at = rng.below(Math.max(reach, 1));
    const length = 1 + rng.below(rng.chance(0.8) ? 16 : 4096);
    switch (rng.below(7)) {
      case 0:
        if (bytes.length > 0) bytes[at]! ^= 1 << rng.below(8);
        break;
      case 1:
        if (bytes.length > 0) bytes[at] = rng.below(256);
        break;
      case 2: // a number of 4 or 8 bytes
        if (rng.chance(0.5) && at + 8 <= bytes.length) bytes.writeBigUInt64LE(rng.pick(absurd), at);
        else if (at + 4 <= bytes.length) bytes.writeUInt32LE(Number(rng.pick(absurd) & 0xffffffffn), at);
        break;
      case 3:
        bytes = bytes.subarray(0, rng.chance(0.5) ? at : rng.below(bytes.length + 1));
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
        break;
      case 5:
        bytes = Buffer.concat([bytes.subarray(0, at + length), bytes.subarray(at)]);
        break;
      default:
        bytes = Buffer.concat([
          bytes.subarray(0, at),
          Buffer.alloc(length, rng.below(256)),
          bytes.subarray(at),
        ]);
    }
  }
  return bytes;
}

export const files: Part = {
  unit: "files",
  async run({ seed, goesOn, note }) {
    const folder = mkdtempSync(join(tmpdir(), "torchforge-damaged-"));
    const all = samples();
    const lost: string[] = [];
    let made = 0;
    let readable = 0;
    try {
      for (; goesOn(made); made++) {
        const rng = random(seed + made);
        const sample = rng.pick(all);
        mkdirSync(folder, { recursive: true });
        try {
          sample.read(damage(sample.bytes, rng), folder);
          readable++;
        } catch (error) {
          if (!(error instanceof UserError))
            lost.push(
              `npm run fuzz -- files --count 1 --seed ${seed + made} (${sample.name}): ${String((error as Error).stack ?? error)}`,
            );
        } finally {
          rmSync(folder, { recursive: true, force: true });
        }
        // Signals are handled.
        if (made % 256 === 255) await new Promise((done) => setImmediate(done));
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    note(`${made} damaged files, of which ${readable} could be read all the same`);
    return { made, lost };
  },
};
