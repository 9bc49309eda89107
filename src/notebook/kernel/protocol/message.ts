// Packs and unpacks Jupyter's messages: JSON parts with a signature, as frames. Doesn't interpret their content.
// Specification: https://jupyter-client.readthedocs.io/en/stable/messaging.html
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";

import { jsonText } from "./json.ts";

export const protocolVersion = "5.3";
const delimiter = "<IDS|MSG>";

export interface Header {
  readonly msg_id: string;
  readonly msg_type: string;
  readonly session: string;
  readonly username: string;
  readonly date: string;
  readonly version: string;
}

export type Content = Record<string, unknown>;

/** A string of a message's content; empty if it isn't a string. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export interface Message {
  readonly header: Header;
  /** {} for a message that isn't a reply. */
  readonly parent: Header | Record<string, never>;
  readonly content: Content;
}

/** One end of a session: signs messages, checks signatures, and rejects replays. */
export class Signer {
  readonly #key: string;
  readonly #session = randomUUID();
  readonly #seen = new Set<string>();

  constructor(key: string) {
    this.#key = key;
  }

  message(type: string, content: Content, parent: Message["parent"] = {}): Message {
    const header: Header = {
      msg_id: randomUUID(),
      msg_type: type,
      session: this.#session,
      username: "kernel",
      date: new Date().toISOString(),
      version: protocolVersion,
    };
    return { header, parent, content };
  }

  /** The message as frames, after `prefix` (a topic, or the router's frames). */
  pack({ header, parent, content }: Message, prefix: readonly (Buffer | string)[] = []): (Buffer | string)[] {
    const parts = [header, parent, {}, content].map((part) => jsonText(part));
    return [...prefix, delimiter, this.sign(parts), ...parts];
  }

  /** Undefined for an invalid message: no delimiter, a wrong signature, a replay, or parts that aren't a message's. */
  unpack(frames: readonly Buffer[]): (Message & { readonly prefix: Buffer[] }) | undefined {
    const index = frames.findIndex((frame) => frame.equals(delimiterBytes));
    const parts = frames.slice(index + 2, index + 6);
    if (index < 0 || parts.length < 4) return undefined;
    const signature = frames[index + 1]!;
    if (this.#key !== "") {
      const expected = Buffer.from(this.sign(parts));
      if (signature.length !== expected.length || !timingSafeEqual(signature, expected)) return undefined;
      if (this.#seen.has(expected.toString())) return undefined;
      this.#seen.add(expected.toString());
      if (this.#seen.size > 65_536) this.#seen.delete(this.#seen.values().next().value!);
    }
    try {
      const [header, parent, , content] = parts.map((part) => JSON.parse(part.toString()) as unknown);
      if (!isHeader(header) || !isObject(parent) || !isObject(content)) return undefined;
      return { header, parent: parent as Message["parent"], content, prefix: frames.slice(0, index) };
    } catch {
      return undefined;
    }
  }

  /** The signature of a message's four parts. */
  sign(parts: readonly (Buffer | string)[]): string {
    if (this.#key === "") return "";
    const hmac = createHmac("sha256", this.#key);
    for (const part of parts) hmac.update(part);
    return hmac.digest("hex");
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isHeader(value: unknown): value is Header {
  return isObject(value) && typeof value["msg_id"] === "string" && typeof value["msg_type"] === "string";
}

const delimiterBytes = Buffer.from(delimiter);
