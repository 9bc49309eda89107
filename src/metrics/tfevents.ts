// Writes TensorBoard event files: TFRecord framing around the few protobuf fields that scalars need.
// Formats: tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto, framework/summary.proto.
import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";

import type { MetricRecord, MetricSink } from "./record.ts";
import { makeFolder } from "../util/index.ts";

/** CRC-32C (Castagnoli), reflected polynomial 0x82F63B78. */
const crcTable = new Uint32Array(256).map((_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82_f6_3b_78 : crc >>> 1;
  return crc;
});

export function crc32c(data: Uint8Array): number {
  let crc = 0xff_ff_ff_ff;
  for (const byte of data) crc = crcTable[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xff_ff_ff_ff) >>> 0;
}

/** TFRecord masks its checksums, so that a checksum over data that contains checksums stays strong. */
export function maskedCrc32c(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa2_82_ea_d8) >>> 0;
}

/** length (uint64), checksum of the length, data, checksum of the data; all little-endian. */
export function frame(data: Uint8Array): Uint8Array {
  const out = Buffer.alloc(data.length + 16);
  out.writeBigUInt64LE(BigInt(data.length), 0);
  out.writeUInt32LE(maskedCrc32c(out.subarray(0, 8)), 8);
  out.set(data, 12);
  out.writeUInt32LE(maskedCrc32c(data), 12 + data.length);
  return out;
}

// Protobuf: a field is its number and wire type in one varint, then the value.
const wire = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

function varint(value: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt(value);
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest === 0n ? low : low | 0x80);
  } while (rest !== 0n);
  return Buffer.from(bytes);
}

const tag = (field: number, type: number): Buffer => varint((field << 3) | type);
const integer = (field: number, value: number): Buffer =>
  Buffer.concat([tag(field, wire.varint), varint(value)]);

function double(field: number, value: number): Buffer {
  const data = Buffer.alloc(8);
  data.writeDoubleLE(value);
  return Buffer.concat([tag(field, wire.fixed64), data]);
}

function float(field: number, value: number): Buffer {
  const data = Buffer.alloc(4);
  data.writeFloatLE(value);
  return Buffer.concat([tag(field, wire.fixed32), data]);
}

function bytes(field: number, value: string | Buffer): Buffer {
  const data = typeof value === "string" ? Buffer.from(value, "utf8") : value;
  return Buffer.concat([tag(field, wire.bytes), varint(data.length), data]);
}

/** Event { wall_time = 1, step = 2, summary = 5 { value = 1 { tag = 1, simple_value = 2 } } } */
function scalarsEvent(time: number, step: number, scalars: Readonly<Record<string, number>>): Buffer {
  const values = Object.entries(scalars).map(([name, value]) =>
    bytes(1, Buffer.concat([bytes(1, name), float(2, value)])),
  );
  return Buffer.concat([double(1, time), integer(2, step), bytes(5, Buffer.concat(values))]);
}

let fileCount = 0;

export class TensorBoardWriter implements MetricSink {
  readonly path: string;
  #fd: number | undefined;

  /**
   * Creates an event file in `folder`, which is created too. TensorBoard reads all files of a folder as one run.
   * @param resumedStep the step that the run resumes from: TensorBoard drops later steps of earlier files
   */
  constructor(folder: string, resumedStep = 0, now: () => number = () => Date.now() / 1000) {
    makeFolder(folder);
    const started = now();
    const name = `events.out.tfevents.${String(Math.floor(started)).padStart(10, "0")}.${hostname()}.${process.pid}.${fileCount++}`;
    this.path = join(folder, name);
    this.#fd = openSync(this.path, "ax");
    // Event.file_version = 3; version 2 is the framing with checksums above.
    this.#event(Buffer.concat([double(1, started), bytes(3, "brain.Event:2")]));
    if (resumedStep > 0) {
      // Event.session_log = 7 { status = 1: START }: this file replaces the step and all later ones.
      this.#event(Buffer.concat([double(1, started), integer(2, resumedStep + 1), bytes(7, integer(1, 1))]));
    }
  }

  /** Writes a step's scalars by tag, e.g. {"train/loss": 2.3}. Stored as 32-bit floats. */
  scalars(step: number, values: Readonly<Record<string, number>>, time = Date.now() / 1000): void {
    this.#event(scalarsEvent(time, step, values));
  }

  write(record: MetricRecord): void {
    this.scalars(record.step, tagsOf(record), record.time);
  }

  close(): void {
    if (this.#fd === undefined) return;
    fsyncSync(this.#fd);
    closeSync(this.#fd);
    this.#fd = undefined;
  }

  #event(event: Buffer): void {
    if (this.#fd === undefined) throw new Error(`${this.path} is closed`);
    writeSync(this.#fd, frame(event));
  }
}

/** A record's numbers by tag: train/loss, eval/loss. */
export function tagsOf(record: MetricRecord): Record<string, number> {
  if (record.kind === "eval") {
    return { [record.dataset === undefined ? "eval/loss" : `eval/${record.dataset}/loss`]: record.eval_loss };
  }
  const { kind: _kind, step: _step, steps: _steps, time: _time, seconds_left: _left, ...values } = record;
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [`train/${name}`, value]));
}
