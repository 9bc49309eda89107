// Reads event files back with code that shares nothing with the writer. test/tensorboard.test.ts does it in Python.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

import { crc32c, frame, maskedCrc32c, TensorBoardWriter } from "./tfevents.ts";
import { evalRecord, stepRecord, temporaryFolder } from "./testing.ts";

/** CRC-32C bit by bit, most significant bit first, on reflected bytes: another way than the writer's table. */
function slowCrc(data: Uint8Array): number {
  const reflect = (value: number, bits: number) => {
    let out = 0n;
    for (let i = 0; i < bits; i++) if ((BigInt(value) >> BigInt(i)) & 1n) out |= 1n << BigInt(bits - 1 - i);
    return Number(out);
  };
  let crc = 0xff_ff_ff_ffn;
  for (const byte of data) {
    crc ^= BigInt(reflect(byte, 8)) << 24n;
    for (let bit = 0; bit < 8; bit++) {
      crc =
        crc & 0x80_00_00_00n ? ((crc << 1n) ^ 0x1e_dc_6f_41n) & 0xff_ff_ff_ffn : (crc << 1n) & 0xff_ff_ff_ffn;
    }
  }
  return (reflect(Number(crc), 32) ^ 0xff_ff_ff_ff) >>> 0;
}

const slowMasked = (data: Uint8Array): number => {
  const crc = BigInt(slowCrc(data));
  return Number(((((crc >> 15n) | (crc << 17n)) & 0xff_ff_ff_ffn) + 0xa2_82_ea_d8n) & 0xff_ff_ff_ffn);
};

interface Field {
  field: number;
  value: number | Buffer;
}

function decode(data: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = data[at++]!;
      value += (byte & 0x7f) * shift;
      if (byte < 128) return value;
    }
  };
  while (at < data.length) {
    const tag = varint();
    const [field, type] = [Math.floor(tag / 8), tag % 8];
    if (type === 0) fields.push({ field, value: varint() });
    else if (type === 1) fields.push({ field, value: data.readDoubleLE((at += 8) - 8) });
    else if (type === 5) fields.push({ field, value: data.readFloatLE((at += 4) - 4) });
    else if (type === 2) {
      const length = varint();
      fields.push({ field, value: data.subarray(at, (at += length)) });
    } else throw new Error(`wire type ${type}`);
  }
  return fields;
}

interface Event {
  time: number;
  step: number;
  version?: string;
  session?: number;
  scalars: Record<string, number>;
}

function readEvents(path: string): Event[] {
  const file = readFileSync(path);
  const events: Event[] = [];
  for (let at = 0; at < file.length;) {
    const length = Number(file.readBigUInt64LE(at));
    assert.equal(file.readUInt32LE(at + 8), slowMasked(file.subarray(at, at + 8)), "checksum of the length");
    const data = file.subarray(at + 12, at + 12 + length);
    assert.equal(file.readUInt32LE(at + 12 + length), slowMasked(data), "checksum of the data");
    at += 16 + length;
    const event: Event = { time: 0, step: 0, scalars: {} };
    for (const { field, value } of decode(data)) {
      if (field === 1) event.time = value as number;
      else if (field === 2) event.step = value as number;
      else if (field === 3) event.version = String(value);
      else if (field === 7) event.session = decode(value as Buffer)[0]!.value as number;
      else if (field === 5) {
        for (const summary of decode(value as Buffer)) {
          const parts = new Map(decode(summary.value as Buffer).map((part) => [part.field, part.value]));
          event.scalars[String(parts.get(1))] = parts.get(2) as number;
        }
      } else throw new Error(`field ${field}`);
    }
    events.push(event);
  }
  return events;
}

test("CRC-32C: the check value of the standard, and RFC 3720's examples", () => {
  assert.equal(crc32c(Buffer.from("123456789")), 0xe3_06_92_83);
  assert.equal(crc32c(new Uint8Array(32)), 0x8a_91_36_aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62_a8_ab_43);
  assert.equal(crc32c(new Uint8Array(32).map((_, i) => i)), 0x46_dd_79_4e);
  assert.equal(slowCrc(Buffer.from("123456789")), 0xe3_06_92_83);
});

test("the mask rotates by 15 and adds a constant; a frame holds length, data and both checksums", () => {
  for (const text of ["", "a", "some bytes", "x".repeat(300)]) {
    const data = Buffer.from(text);
    assert.equal(maskedCrc32c(data), slowMasked(data));
    const framed = frame(data);
    assert.equal(framed.length, data.length + 16);
    assert.equal(framed.subarray(12, 12 + data.length).toString(), text);
  }
});

test("scalars of steps and evaluations under train/ and eval/", () => {
  using folder = temporaryFolder();
  const writer = new TensorBoardWriter(folder.path, 0, () => 1_700_000_000.5);
  writer.write(stepRecord(1, { epoch: 0.25, peak_memory_mb: 900 }));
  writer.write(evalRecord(1, 2.5));
  writer.write(evalRecord(1, 1.5, "wiki"));
  writer.write(stepRecord(300, { loss: Number.NaN }));
  writer.close();
  assert.match(readdirSync(folder.path)[0]!, /^events\.out\.tfevents\.1700000000\./);
  const [first, ...events] = readEvents(writer.path);
  assert.deepEqual(first, { time: 1_700_000_000.5, step: 0, version: "brain.Event:2", scalars: {} });
  assert.equal(events[0]!.time, stepRecord(1).time);
  assert.deepEqual(Object.keys(events[0]!.scalars), [
    "train/loss",
    "train/learning_rate",
    "train/grad_norm",
    "train/num_tokens",
    "train/tokens_per_second",
    "train/step_seconds",
    "train/epoch",
    "train/peak_memory_mb",
  ]);
  assert.equal(events[0]!.scalars["train/learning_rate"], Math.fround(1e-5));
  assert.deepEqual(events[1]!.scalars, { "eval/loss": 2.5 });
  assert.deepEqual(events[2]!.scalars, { "eval/wiki/loss": 1.5 });
  assert.equal(events[3]!.step, 300);
  assert.ok(Number.isNaN(events[3]!.scalars["train/loss"]));
});

test("a resume opens a file of its own and says from which step on it counts", () => {
  using folder = temporaryFolder();
  const first = new TensorBoardWriter(folder.path);
  first.close();
  const second = new TensorBoardWriter(folder.path, 20);
  second.close();
  assert.notEqual(first.path, second.path);
  assert.equal(readEvents(first.path).length, 1);
  assert.deepEqual(
    readEvents(second.path).map(({ step, session }) => ({ step, session })),
    [
      { step: 0, session: undefined },
      { step: 21, session: 1 },
    ],
  );
  assert.throws(() => second.scalars(1, { x: 1 }), /is closed$/);
});
