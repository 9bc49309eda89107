// A tensor that shares an ArrayBuffer's memory (copy: false), against each way in which a buffer loses its memory: it throws, or
// sharing was refused, or a copy was taken; the tensor is never left with memory of someone else.
import assert from "node:assert/strict";
import { MessageChannel } from "node:worker_threads";
import test from "node:test";

import * as torch from "../../src/torch/index.ts";

const shared = (): { data: Float32Array<ArrayBuffer>; tensor: torch.Tensor } => {
  const data = new Float32Array(new ArrayBuffer(64));
  return { data, tensor: torch.fromTypedArray(data, [16], { copy: false }) };
};

const transfers: Record<string, (buffer: ArrayBuffer) => unknown> = {
  structuredClone: (buffer) => structuredClone(buffer, { transfer: [buffer] }),
  postMessage: (buffer) => {
    const { port1 } = new MessageChannel();
    try {
      port1.postMessage(buffer, [buffer]);
    } finally {
      port1.close();
    }
  },
  "a message event's ports": (buffer) => structuredClone([buffer], { transfer: [buffer] }),
  "transfer()": (buffer) => buffer.transfer(),
  "transfer(longer)": (buffer) => buffer.transfer(1 << 20),
  "transferToFixedLength()": (buffer) => buffer.transferToFixedLength(),
  "the prototype's transfer": (buffer) => ArrayBuffer.prototype.transfer.call(buffer, 8),
};

for (const [name, transfer] of Object.entries(transfers)) {
  test(`${name} of a shared buffer throws, and the tensor keeps its memory`, () => {
    const { data, tensor } = shared();
    assert.throws(() => transfer(data.buffer), /could not be cloned|transfer|not detachable/i);
    assert.equal(data.buffer.detached, false);
    tensor.fill_(3);
    assert.equal(data[15], 3);
    assert.equal(torch.fromTypedArray(data, [16], { copy: false }).sum().item(), 48, "shared again");
  });
}

test("memory that can move is refused", () => {
  const resizable = new Float32Array(new ArrayBuffer(64, { maxByteLength: 1024 }));
  const { Memory } = Reflect.get(globalThis, "WebAssembly") as {
    Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer };
  };
  const memory = new Memory({ initial: 1 });
  const gone = new ArrayBuffer(64);
  const view = new Float32Array(gone);
  gone.transfer();
  for (const [data, what] of [
    [resizable, "a resizable ArrayBuffer"],
    [new Float32Array(memory.buffer, 0, 16), "a WebAssembly.Memory"],
    [view, "a transferred ArrayBuffer"],
  ] as const) {
    assert.throws(
      () => torch.fromTypedArray(data, undefined, { copy: false }),
      { message: `fromTypedArray: the memory of ${what} can't be shared: take copy` },
      what,
    );
  }
  // The refusal has moved nothing.
  assert.equal(torch.fromTypedArray(new Float32Array(memory.buffer, 0, 16)).numel(), 16);
  assert.equal(torch.fromTypedArray(resizable).numel(), 16);
});

test("SharedArrayBuffers, which grow in their place, and Node's pool of Buffers can be shared", () => {
  const growing = new SharedArrayBuffer(64, { maxByteLength: 65_536 });
  const data = new Float32Array(growing);
  const tensor = torch.fromTypedArray(data, [16], { copy: false });
  growing.grow(65_536);
  tensor.fill_(2);
  assert.equal(new Float32Array(growing, 0, 16)[15], 2);
  const pooled = Buffer.from("abcdefgh");
  torch.fromTypedArray(pooled, [8], { copy: false }).fill_(65);
  assert.equal(pooled.toString(), "AAAAAAAA");
});

test("what a tensor gives out may be transferred: the memory lives as long as either", () => {
  const tensor = torch.ones([1 << 16]);
  const bytes = tensor.toTypedArray({ copy: false }) as Float32Array<ArrayBuffer>;
  let moved: ArrayBuffer | undefined;
  try {
    moved = bytes.buffer.transfer();
  } catch {
    // Node says that external memory stays where it is.
  }
  tensor.dispose();
  const survivor = new Float32Array(moved ?? bytes.buffer);
  assert.equal(survivor[65_535], 1);
});
