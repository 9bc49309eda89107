// Generation with a key-value cache, for one prompt or many at once. Prompts of different lengths are computed as the
// documents of one pack, then all continue together, a token a step.
import { inspect } from "node:util";

import {
  arange,
  argmax,
  fromTypedArray,
  Generator,
  inferenceMode,
  int64,
  logicalAnd,
  cat,
  scaledDotProductAttention,
  scope,
  softmax,
  sort,
  type Tensor,
  zeros,
} from "../torch/index.ts";
import { attendTo, isPlain } from "../nn/index.ts";
import { UserError } from "../util/index.ts";
import type { DecoderLayer } from "./decoder-layer.ts";
import type { Decoder } from "./decoder.ts";

export interface GenerateOptions {
  /** Most tokens to add to each prompt. */
  maxNewTokens: number;
  /** 0 (default) always takes the likeliest token. */
  temperature?: number;
  /** Take from the likeliest tokens whose probabilities sum to this. Default 1: from all. */
  topP?: number;
  /** Take from this many likeliest tokens. Default: all. */
  topK?: number;
  /** Tokens that end an answer; they are part of it. */
  stopIds?: readonly number[];
  seed?: number;
  /** Called with every new token: prompt index and id. */
  onToken?: (prompt: number, id: number) => void;
}

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const isCount = (value: unknown): boolean => Number.isInteger(value) && (value as number) >= 1;

/** Of each option what it must be; those that are left out aren't asked. */
const rules: Record<keyof GenerateOptions, [expected: string, holds: (value: unknown) => boolean]> = {
  maxNewTokens: ["a whole number of at least 1", isCount],
  temperature: ["a number of at least 0", (value) => isNumber(value) && value >= 0],
  topP: ["a number from 0 to 1", (value) => isNumber(value) && value >= 0 && value <= 1],
  topK: ["a whole number of at least 0", (value) => value === 0 || isCount(value)],
  seed: ["a whole number", Number.isSafeInteger],
  stopIds: ["a list of token ids", Array.isArray],
  onToken: ["a function", (value) => typeof value === "function"],
};

function check(options: GenerateOptions): void {
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    const rule = Object.hasOwn(rules, name) ? rules[name as keyof GenerateOptions] : undefined;
    if (rule === undefined)
      throw new UserError(
        `${name} is no option of answers; they are ${Object.keys(rules).slice(0, 5).join(", ")}`,
      );
    if (value !== undefined && !rule[1](value))
      throw new UserError(`${name}: expected ${rule[0]}, found ${inspect(value, { depth: 0 })}`);
  }
}

const ids = (values: readonly number[]): Tensor =>
  fromTypedArray(BigInt64Array.from(values, BigInt), [values.length]);

/** The new tokens of each prompt, stop token included. Prompts are lists of token ids, none empty. @throws UserError for options of no known name or value */
export function generate(
  model: Decoder,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
): number[][] {
  check(options);
  if (prompts.length === 0) return [];
  const empties = prompts.findIndex((prompt) => prompt.length === 0);
  if (empties >= 0) throw new Error(`generate: prompt ${empties} is empty`);
  const longest = Math.max(...prompts.map((prompt) => prompt.length)) + options.maxNewTokens;
  const generator = options.seed === undefined ? undefined : new Generator("cpu").manualSeed(options.seed);
  using _scope = scope();
  using _mode = inferenceMode();
  return run(model, prompts, options, longest, generator);
}

function run(
  model: Decoder,
  prompts: readonly (readonly number[])[],
  options: GenerateOptions,
  longest: number,
  generator: Generator | undefined,
): number[][] {
  const { headDim, numLayers } = model.config;
  const { numHeads, numKvHeads } = model;
  const count = prompts.length;
  const { device } = model;
  // Zeros, not bare memory: places that a shorter prompt hasn't reached are masked, but 0 x NaN would be NaN.
  const cacheOf = () => zeros([count, longest, numKvHeads, headDim], { dtype: model.dtype, device });
  const caches = new Map(model.layers.map(({ index }) => [index, { k: cacheOf(), v: cacheOf() }]));
  const lengths = prompts.map((prompt) => prompt.length);
  const rows = arange(count, { dtype: int64, device });
  const places = arange(longest, { dtype: int64, device });
  const rope = model.tables(longest);
  /** Whether one more token makes a sequence one that is rotated by other frequencies (longrope). */
  const turnsLong = (length: number): boolean => rope.some(({ long }) => long?.beyond === length);

  /** The blocks one after the other: logits, on the ranks that have the head. */
  const through = (
    tokens: Tensor,
    layer: (one: DecoderLayer, x: Tensor) => Tensor,
    last: (x: Tensor) => Tensor = (x) => x,
  ): Tensor | undefined => {
    const blocks = numLayers + 2;
    const pass = ({ start, end }: { start: number; end: number }, before: Tensor | undefined): Tensor => {
      let x = before ?? model.embedding.forward(tokens);
      for (const one of model.layers) if (one.index + 1 >= start && one.index + 1 < end) x = layer(one, x);
      return end === blocks ? model.head.logits(last(x)) : x;
    };
    return model.relay === undefined
      ? pass({ start: 0, end: blocks }, undefined)
      : model.relay.run(pass, { dtype: model.dtype, device: tokens.device });
  };

  const answers: number[][] = prompts.map(() => []);

  /** All tokens so far at once. */
  const prefill = (): Tensor | undefined => {
    using s = scope();
    const tokens = ids(prompts.flatMap((prompt, i) => [...prompt, ...answers[i]!])).to(device);
    const positions = ids(lengths.flatMap((length) => Array.from({ length }, (_, i) => i))).to(device);
    let end = -1;
    const ends = lengths.map((length) => (end += length));
    const keep = (layer: number, { k, v }: { k: Tensor; v: Tensor }): void => {
      const cache = caches.get(layer)!;
      let at = 0;
      for (const [row, length] of lengths.entries()) {
        cache.k
          .select(0, row)
          .narrow(0, 0, length)
          .copy_(k.narrow(0, at, length));
        cache.v
          .select(0, row)
          .narrow(0, 0, length)
          .copy_(v.narrow(0, at, length));
        at += length;
      }
    };
    const logits = through(
      tokens,
      (layer, x) =>
        layer.forward(x, { positions, lengths }, rope, { onKeysValues: (kv) => keep(layer.index, kv) }),
      (x) => x.indexSelect(0, ids(ends).to(device)),
    );
    return logits && s.keep(logits);
  };

  const decode = (current: readonly number[]): Tensor | undefined => {
    using s = scope();
    const at = ids(lengths).to(device);
    const most = Math.max(...lengths) + 1;
    const seen = places.narrow(0, 0, most).unsqueeze(0);
    const visible = seen.le(at.unsqueeze(1));
    const one = prompts.map(() => 1);
    const sequence = { positions: at, lengths: one, documents: lengths.map((length) => length + 1) };
    const logits = through(ids(current).to(device), (layer, x) => {
      const { q, k, v } = layer.project(x, sequence, rope);
      const { window, scale } = layer.variant;
      const cache = caches.get(layer.index)!;
      cache.k.indexPut_([rows, at], k);
      cache.v.indexPut_([rows, at], v);
      const mask = window === undefined ? visible : logicalAnd(visible, seen.gt(at.sub(window).unsqueeze(1)));
      const heads = (cached: Tensor) => cached.narrow(1, 0, most).transpose(1, 2);
      if (!isPlain(layer.variant)) {
        const rowsOfHeads = Array.from({ length: count }, (_, row) =>
          attendTo(
            q.select(0, row).unsqueeze(1),
            heads(cache.k).select(0, row),
            heads(cache.v).select(0, row),
            mask.select(0, row).view([1, 1, most]),
            layer.variant,
          ).view([1, -1]),
        );
        return layer.finish(x, cat(rowsOfHeads));
      }
      const attended = scaledDotProductAttention(q.unsqueeze(2), heads(cache.k), heads(cache.v), {
        attnMask: mask.view([count, 1, 1, most]),
        enableGqa: numKvHeads !== numHeads,
        scale: scale ?? null,
      });
      return layer.finish(x, attended.squeeze(2).reshape([count, -1]));
    });
    return logits && s.keep(logits);
  };

  const stop = new Set(options.stopIds);
  const done = prompts.map(() => false);
  let logits = prefill();
  for (let step = 0; step < options.maxNewTokens; step++) {
    const own = logits && choose(logits, options, generator);
    logits?.dispose();
    const next = agreed(model, own, count);
    for (const [i, id] of next.entries()) {
      if (done[i]) continue;
      answers[i]!.push(id);
      options.onToken?.(i, id);
      done[i] = stop.has(id);
    }
    if (done.every(Boolean) || step === options.maxNewTokens - 1) break;
    if (lengths.some(turnsLong)) {
      // Keys of before were rotated by other frequencies.
      for (let i = 0; i < count; i++) lengths[i] = prompts[i]!.length + answers[i]!.length;
      logits = prefill();
      continue;
    }
    logits = decode(next);
    for (let i = 0; i < count; i++) lengths[i] = lengths[i]! + 1;
  }
  return answers;
}

/** Ranks that compute one answer together go on with the same tokens: those of the ranks that have logits. */
function agreed(model: Decoder, own: readonly number[] | undefined, count: number): readonly number[] {
  let chosen = own;
  if (chosen !== undefined) {
    chosen = model.region?.agree(chosen) ?? chosen;
    chosen = model.exchange?.agree(chosen) ?? chosen;
  }
  return model.relay?.agree(chosen ?? Array.from({ length: count }, () => 0)) ?? chosen!;
}

/** The next token of each row of logits: [B, V]. */
function choose(logits: Tensor, options: GenerateOptions, generator: Generator | undefined): number[] {
  using _ = scope();
  const { temperature = 0, topP = 1, topK = 0 } = options;
  if (temperature === 0) return argmax(logits, -1).tolist() as number[];
  const scaled = logits.float().div(temperature);
  const [sorted, order] = sort(scaled, -1, true);
  const most = sorted.size(1);
  const candidates = sorted.narrow(1, 0, topK > 0 ? Math.min(topK, most) : most);
  let probabilities = softmax(candidates, -1);
  if (topP < 1) {
    // The token that crosses topP still counts, and the likeliest one always.
    const before = probabilities.cumsum(-1).sub(probabilities);
    before.select(1, 0).fill_(-1);
    probabilities = probabilities.maskedFill(before.ge(topP), 0);
  }
  const drawn = probabilities.multinomial(1, { generator: generator ?? null });
  return order.gather(1, drawn).squeeze(1).tolist() as number[];
}
