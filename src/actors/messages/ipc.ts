// birpc over Node's IPC channel, for both sides. Errors cross as WireError. Calls have no time limit, since a run may take
// days; the death of the other process ends them.
import { createBirpc, type BirpcReturn } from "birpc";

import { asError } from "../../util/index.ts";
import { toWire, type WireError } from "./errors.ts";

interface Reply {
  t: string;
  e?: unknown;
}

export interface Channel {
  post(data: unknown): void | Promise<void>;
  listen(listener: (data: unknown) => void): void;
}

/** @param revive turns a received WireError into an Error */
export function connect<Remote extends object, Local extends object>(
  local: Local,
  channel: Channel,
  revive: (wire: WireError) => Error,
): BirpcReturn<Remote, Local> {
  return createBirpc<Remote, Local>(throwingErrors(local), {
    timeout: -1,
    bind: "functions",
    post: (data) => channel.post(data),
    on: (listener) => channel.listen(listener),
    serialize: (message: Reply) => (message.e === undefined ? message : { ...message, e: toWire(message.e) }),
    deserialize: (message: Reply) =>
      message.t === "s" && message.e !== undefined
        ? { ...message, e: revive(message.e as WireError) }
        : message,
  });
}

/** birpc treats a falsy thrown value as no error, so every thrown value becomes an Error. */
function throwingErrors<T extends object>(local: T): T {
  const calls = Object.entries(local) as [string, (...args: unknown[]) => unknown][];
  const wrapped = calls.map(([name, call]) => [
    name,
    async (...args: unknown[]) => {
      try {
        return await call(...args);
      } catch (error) {
        throw asError(error);
      }
    },
  ]);
  return Object.fromEntries(wrapped) as T;
}
