// The metadata of a GGUF file that describe the tokenizer: byte-level BPE ("gpt2"), and BPE of SentencePiece ("llama").
import type { Tokenizer } from "../../data/index.ts";
import { preTokenizerOfForm, tokenType, type GgufEntry } from "../../gguf/index.ts";
import { UserError } from "../../util/index.ts";
import { text, u32 } from "./metadata.ts";
import { preTokenizerOf } from "./pre-tokenizer.ts";

interface Model {
  readonly type?: unknown;
  readonly vocab?: unknown;
  readonly merges?: readonly (string | readonly [string, string])[];
  readonly byte_fallback?: unknown;
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
}

/**
 * `tokenizer.*`.
 * @param rows of the embedding: ids without a token are filled up to them
 * @param preTokenizer its name for llama.cpp, where it can't be found
 * @throws UserError for a tokenizer that llama.cpp doesn't have
 */
export function tokenizerEntries(
  tokenizer: Tokenizer,
  rows: number,
  folder: string,
  preTokenizer?: string,
): [string, GgufEntry][] {
  const json = tokenizer.files.tokenizer as { model: Model; added_tokens?: readonly AddedToken[] };
  const { model } = json;
  if (model.type !== "BPE" || !Array.isArray(model.merges))
    throw new UserError(
      `${folder}: expected a tokenizer of the type BPE, found ${String(model.type)}: llama.cpp's GGUF files have no form for it that is written here`,
    );
  const isByteLevel = model.byte_fallback !== true;
  const added = new Map((json.added_tokens ?? []).map((token) => [token.id, token]));
  const tokens: string[] = [];
  const types: number[] = [];
  const unk = tokenizer.files.tokenizerConfig?.["unk_token"];
  for (let id = 0; id < Math.max(rows, tokenizer.vocabSize); id++) {
    const own = added.get(id);
    const piece = own?.content ?? tokenizer.pieceOf(id);
    tokens.push(piece ?? `[PAD${id}]`);
    if (piece === undefined) types.push(tokenType.unused);
    else if (!isByteLevel && piece === unk) types.push(tokenType.unknown);
    else if (own !== undefined) types.push(own.special ? tokenType.control : tokenType.userDefined);
    else if (!isByteLevel && /^<0x[0-9A-F]{2}>$/.test(piece)) types.push(tokenType.byte);
    else types.push(tokenType.normal);
  }
  const pairs = model.merges.map((merge) =>
    typeof merge === "string" ? (merge.split(" ") as [string, string]) : ([...merge] as [string, string]),
  );
  const entries: [string, GgufEntry][] = [
    ["tokenizer.ggml.model", text(isByteLevel ? "gpt2" : "llama")],
    [
      "tokenizer.ggml.pre",
      text(isByteLevel ? (preTokenizer ?? nameOf(tokenizer, folder)) : (preTokenizer ?? "default")),
    ],
    ["tokenizer.ggml.tokens", { type: "texts", value: tokens }],
    ["tokenizer.ggml.token_type", { type: "int32s", value: types }],
    isByteLevel
      ? ["tokenizer.ggml.merges", { type: "texts", value: pairs.map((pair) => pair.join(" ")) }]
      : ["tokenizer.ggml.scores", { type: "float32s", value: scoresOf(tokens, pairs) }],
  ];
  return [...entries, ...specialEntries(tokenizer, isByteLevel), ...templateEntries(tokenizer)];
}

function nameOf(tokenizer: Tokenizer, folder: string): string {
  const found = preTokenizerOf(tokenizer) ?? preTokenizerOfForm(tokenizer.files.tokenizer);
  if (found !== undefined) return found;
  throw new UserError(
    `${folder}: its tokenizer cuts text in a way whose name for llama.cpp isn't known. If you know it (that of the model which it comes from), give it: \`npx torchforge export MODEL --output-dir DIR --pre-tokenizer NAME\`, e.g. llama-bpe or qwen2`,
    { exitCode: 2 },
  );
}

/** llama.cpp merges the pair of the highest score first: of a token that merges make, the rank of the first that makes it. */
function scoresOf(tokens: readonly string[], pairs: readonly (readonly [string, string])[]): number[] {
  const ranks = new Map<string, number>();
  for (const [rank, [left, right]] of pairs.entries())
    if (!ranks.has(left + right)) ranks.set(left + right, rank);
  return tokens.map((token, id) => -(ranks.get(token) ?? pairs.length + id));
}

function specialEntries(tokenizer: Tokenizer, isByteLevel: boolean): [string, GgufEntry][] {
  const { bosId, eosId, padId, stopIds } = tokenizer;
  const unk = tokenizer.files.tokenizerConfig?.["unk_token"];
  const unkId = typeof unk === "string" ? tokenizer.idOf(unk) : undefined;
  const around = tokenizer.encode("", { addSpecialTokens: true });
  // Where a model ends an answer with another token than a text.
  const turnEnds = stopIds.filter((id) => id !== eosId);
  const ids: [string, number | undefined][] = [
    ["bos", bosId],
    ["eos", eosId],
    ["unknown", unkId],
    ["padding", padId],
    ["eot", turnEnds[0]],
    ["eom", turnEnds[1]],
  ];
  return [
    ...ids.flatMap(([role, id]): [string, GgufEntry][] =>
      id === undefined ? [] : [[`tokenizer.ggml.${role}_token_id`, u32(id)]],
    ),
    ...(bosId === undefined
      ? []
      : ([["tokenizer.ggml.add_bos_token", { type: "bool", value: around[0] === bosId }]] as [
          string,
          GgufEntry,
        ][])),
    [
      "tokenizer.ggml.add_eos_token",
      { type: "bool", value: around.length > 0 && around.at(-1) === eosId && eosId !== bosId },
    ],
    ...(isByteLevel
      ? []
      : ([["tokenizer.ggml.add_space_prefix", { type: "bool", value: addsSpace(tokenizer) }]] as [
          string,
          GgufEntry,
        ][])),
  ];
}

/** Whether a text's first word is taken as if a space were before it. */
function addsSpace(tokenizer: Tokenizer): boolean {
  const [first] = tokenizer.encode("a");
  return first !== undefined && (tokenizer.pieceOf(first) ?? "").startsWith("▁");
}

function templateEntries({ chatTemplates }: Tokenizer): [string, GgufEntry][] {
  const named = Object.entries(chatTemplates);
  const others = named.filter(([name]) => name !== "default");
  return [
    ...named.map(([name, template]): [string, GgufEntry] => [
      name === "default" ? "tokenizer.chat_template" : `tokenizer.chat_template.${name}`,
      text(template.text),
    ]),
    ...(others.length === 0
      ? []
      : ([["tokenizer.chat_templates", { type: "texts", value: others.map(([name]) => name) }]] as [
          string,
          GgufEntry,
        ][])),
  ];
}
