// Reads the connection file (ports, key, transport) that a Jupyter client writes and passes on the kernel's command line.
import { readFileSync } from "node:fs";

import { messageOf, UserError } from "../../../util/index.ts";
import type { Address } from "./sockets.ts";

export const channels = ["shell", "control", "stdin", "iopub", "hb"] as const;
export type Channel = (typeof channels)[number];

export interface Connection {
  readonly addresses: Readonly<Record<Channel, Address>>;
  /** HMAC key; empty if messages are not signed. */
  readonly key: string;
}

/** @throws UserError if the file isn't a connection file that this kernel supports */
export function readConnectionFile(file: string): Connection {
  let info: Record<string, unknown>;
  try {
    info = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  } catch (cause) {
    throw new UserError(`expected a Jupyter connection file, found ${file}: ${messageOf(cause)}`, { cause });
  }
  const transport = text(info["transport"]) || "tcp";
  const ip = text(info["ip"]) || "127.0.0.1";
  const scheme = text(info["signature_scheme"]) || "hmac-sha256";
  if (scheme !== "hmac-sha256") {
    throw new UserError(`${file}: signature_scheme: expected hmac-sha256, found ${scheme}`);
  }
  if (transport !== "tcp" && transport !== "ipc") {
    throw new UserError(`${file}: transport: expected tcp or ipc, found ${transport}`);
  }
  const addressOf = (channel: Channel): Address => {
    const port = Number(info[`${channel}_port`]);
    if (!Number.isInteger(port) || port <= 0) {
      throw new UserError(
        `${file}: ${channel}_port: expected a port, found ${String(info[`${channel}_port`])}`,
      );
    }
    if (transport === "ipc") return { path: `${ip}-${port}` };
    return { host: ip === "*" ? "0.0.0.0" : ip, port };
  };
  const addresses = Object.fromEntries(channels.map((channel) => [channel, addressOf(channel)]));
  return { addresses: addresses as Record<Channel, Address>, key: text(info["key"]) };
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}
