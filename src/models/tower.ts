// A language model that is a part of a larger one: which names in files are its own.
import type { ModelConfig } from "./families/index.ts";

/** How they begin; undefined: all are. */
export function ownPrefixesOf({ tower }: Pick<ModelConfig, "tower">): readonly string[] | undefined {
  return tower && [tower.prefix, tower.head];
}
