import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import type { RowColumns } from "../columns.ts";
import type { PreparedRow } from "./prepare.ts";
import { TokenCache } from "./token-cache.ts";

const folder = mkdtempSync(join(tmpdir(), "torchforge-token-cache-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const columns = (...tokens: number[]): RowColumns => ({
  tokens: Int32Array.from(tokens),
  lossMask: Uint8Array.from(tokens, (_, t) => t % 2),
});
/** Odd numbers of tokens, so that columns begin at odd places of the file. */
const rows: (PreparedRow | undefined)[] = [
  { columns: columns(5, 6, 7) },
  { bad: "not JSON" },
  undefined,
  { columns: columns(8, 9) },
];
const saved = (key: string, filled = rows): string => {
  const cache = new TokenCache({ key, rows: filled.length, folder });
  for (const [row, prepared] of filled.entries()) if (prepared !== undefined) cache.set(row, prepared);
  cache.save();
  return join(folder, `${key}.tokens`);
};
const read = (key: string): (PreparedRow | undefined)[] => {
  const cache = new TokenCache({ key, rows: rows.length, folder });
  return rows.map((_, row) => cache.get(row));
};

test("what was saved is read again", () => {
  saved("plain");
  assert.deepEqual(read("plain"), rows);
});

test("a file that can't be read is none", () => {
  mkdirSync(join(folder, "folder.tokens"));
  assert.deepEqual(
    read("folder"),
    rows.map(() => undefined),
  );
});

test("what was left out of rows is read again", () => {
  const some = rows.with(3, {
    columns: columns(8, 9),
    leftOut: ["the chat template leaves out a system turn"],
  });
  saved("leftOut", some);
  assert.deepEqual(read("leftOut"), some);
});

test("a file of before columns had names is read; its bytes are the same but for the header", () => {
  const path = saved("named");
  const bytes = readFileSync(path);
  const magic = "torchforge tokens 1\n".length;
  const body = bytes.subarray(magic + 32);
  const end = 4 + body.readUInt32LE(0);
  assert.deepEqual(JSON.parse(body.subarray(4, end).toString()), {
    bad: { 1: "not JSON" },
    columns: { tokens: "Int32Array", lossMask: "Uint8Array" },
  });
  const header = Buffer.from(JSON.stringify({ bad: { 1: "not JSON" } }));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(header.length);
  const old = Buffer.concat([length, header, body.subarray(end)]);
  const digest = createHash("sha256").update(old).digest();
  writeFileSync(path, Buffer.concat([bytes.subarray(0, magic), digest, old]));
  assert.deepEqual(read("named"), rows);
});

test("further columns are kept by their names", () => {
  const weighted = rows.map((row) =>
    row !== undefined && "columns" in row
      ? {
          columns: {
            ...row.columns,
            weights: Float32Array.from(row.columns.tokens, (id) => id / 4),
          } as RowColumns,
        }
      : row,
  );
  saved("weighted", weighted);
  assert.deepEqual(read("weighted"), weighted);
});
