// Keeps the memory of an ArrayBuffer where it is while a tensor uses it. A buffer loses its memory when it is transferred
// (postMessage, structuredClone, transfer()), resized, or when its WebAssembly memory grows: the tensor would then read and
// write memory of someone else. So transfers of a shared buffer throw, and memory that can move is refused.
// Not by name: Node 20 lacks one of the two, and whoever has that should read what is needed.
import * as threads from "node:worker_threads";

import { ArgumentError } from "../errors.ts";

const pinned = new WeakSet<ArrayBufferLike>();

/** @throws ArgumentError if the memory can't be kept in its place */
export function pinBuffer(buffer: ArrayBufferLike): void {
  if (pinned.has(buffer)) return;
  if (buffer instanceof SharedArrayBuffer) return; // grows in its place, and is never transferred
  const refuse = (what: string): never => {
    throw new ArgumentError(`fromTypedArray: the memory of ${what} can't be shared: take copy`);
  };
  if (buffer.resizable) refuse("a resizable ArrayBuffer");
  if (buffer.detached) refuse("a transferred ArrayBuffer");
  if (!threads.isMarkedAsUntransferable(buffer) && !isTransferable(buffer)) refuse("a WebAssembly.Memory");
  threads.markAsUntransferable(buffer);
  if (!markStopsTransfer) {
    const refuseTransfer = (): never => {
      throw new TypeError("ArrayBuffer is not detachable: a tensor shares its memory");
    };
    for (const name of ["transfer", "transferToFixedLength"])
      Object.defineProperty(buffer, name, { value: refuseTransfer });
  }
  pinned.add(buffer);
}

/** Asks for a transfer that fails later than at the buffer, and so moves nothing. */
function isTransferable(buffer: ArrayBuffer): boolean {
  const uncloneable = (): void => {};
  try {
    structuredClone(uncloneable, { transfer: [buffer] });
    return true;
  } catch (error) {
    return (error as Error).message.includes(String(uncloneable));
  }
}

/** Whether this Node's transfer() heeds the mark. */
const markStopsTransfer = (() => {
  const probe = new ArrayBuffer(1);
  threads.markAsUntransferable(probe);
  try {
    probe.transfer();
    return false;
  } catch {
    return true;
  }
})();
