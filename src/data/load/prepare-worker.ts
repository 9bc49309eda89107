// The thread that tokenizes ahead of training. Gets stored rows, sends back prepared ones; keeps nothing.
import { parentPort, workerData } from "node:worker_threads";
import { messageOf } from "../../util/index.ts";
import { Preparer, type PreparedRow, type PrepareSettings } from "./prepare.ts";
import type { StoredRow } from "../source/store.ts";

/** What the thread is sent: rows with their numbers and formats. */
export interface PrepareRequest {
  /** Comes back with the answer. */
  readonly generation: number;
  readonly rows: readonly { readonly row: number; readonly format: number; readonly stored: StoredRow }[];
}

/** What it sends: `ready` once, then one answer a request. A row whose preparation failed is left out of it. */
export type PrepareReply =
  | { readonly kind: "ready" }
  | {
      readonly kind: "rows";
      readonly generation: number;
      readonly rows: readonly { readonly row: number; readonly prepared: PreparedRow }[];
    }
  | {
      readonly kind: "failed";
      readonly generation: number;
      readonly rows: readonly number[];
      readonly message: string;
    };

const port = parentPort;
if (port !== null) {
  const preparer = new Preparer(workerData as PrepareSettings);
  const send = (reply: PrepareReply): void => port.postMessage(reply);
  port.on("message", ({ rows, generation }: PrepareRequest) => {
    try {
      send({
        kind: "rows",
        generation,
        rows: rows.map(({ row, format, stored }) => ({ row, prepared: preparer.prepare(stored, format) })),
      });
    } catch (error) {
      // The main thread prepares these rows itself and gets the error with its own stack.
      send({ kind: "failed", generation, rows: rows.map(({ row }) => row), message: messageOf(error) });
    }
  });
  send({ kind: "ready" });
}
