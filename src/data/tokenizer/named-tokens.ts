// The added tokens that tokenizer_config.json and special_tokens_map.json bring besides tokenizer.json's own, with
// their flags, as Transformers 5 adds them when it loads a folder.
import { readAddedToken, type AddedToken } from "./added-vocabulary.ts";
import { Fields } from "./fields.ts";
import { isRecord } from "../types.ts";

type Json = Readonly<Record<string, unknown>>;

const names = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/** In the order in which they are added; one that is there already gets these flags. */
export function namedTokens(tokenizer: Json, config: Json, specialTokensMap: Json | undefined): AddedToken[] {
  const decoder = isRecord(config["added_tokens_decoder"]) ? config["added_tokens_decoder"] : undefined;
  const numbered = Object.entries(decoder ?? {})
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([id, token]) =>
      readAddedToken(new Fields(token, `tokenizer_config.json: added_tokens_decoder.${id}`)),
    );
  // The map is an older form: it counts only where the configuration doesn't number its tokens.
  const merged = decoder === undefined ? { ...config, ...specialTokensMap } : config;
  const own = Array.isArray(tokenizer["added_tokens"]) ? (tokenizer["added_tokens"] as unknown[]) : [];
  const described = new Map<string, AddedToken>();
  const describing = decoder === undefined ? own.filter(isRecord).map((token) => read(token)) : numbered;
  for (const token of describing) described.set(token.content, token);

  const special = (value: unknown, isNamed: boolean): AddedToken[] => {
    if (typeof value !== "string" && !isRecord(value)) return [];
    const token = read(typeof value === "string" ? { content: value, special: true } : value);
    const flags = isNamed ? (described.get(token.content) ?? token) : token;
    return [{ ...flags, special: true }];
  };
  const extra = merged["extra_special_tokens"] ?? merged["additional_special_tokens"];
  const others = Object.keys(merged).filter(
    (key) => key.endsWith("_token") && !names.includes(key) && typeof merged[key] === "string",
  );
  return [
    ...numbered,
    ...names.flatMap((name) => special(merged[name], true)),
    ...others.flatMap((name) => special(merged[name], false)),
    ...(isRecord(extra) ? Object.values(extra) : Array.isArray(extra) ? (extra as unknown[]) : []).flatMap(
      (value) => special(value, false),
    ),
  ];
}

const read = (token: Json): AddedToken => readAddedToken(new Fields(token, "tokenizer_config.json: a token"));
