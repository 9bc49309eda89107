// The fields of Metaspace, which is a pre-tokenizer (a mark in place of each space) and the decoder that takes it back.
import type { Fields } from "./fields.ts";

export interface Metaspace {
  /** What stands for a space. */
  readonly mark: string;
  /** Which words of a text get a mark before them, where they have none. */
  readonly scheme: "always" | "first" | "never";
}

export function metaspaceFields(fields: Fields): Metaspace {
  const mark = fields.text("replacement", "\u2581");
  // Files of before prepend_scheme have a flag.
  const older = fields.optionalFlag("add_prefix_space");
  const scheme = fields.choice(
    "prepend_scheme",
    ["always", "first", "never"],
    older === false ? "never" : "always",
  );
  return { mark, scheme };
}
