// JSON whose numbers keep their text. JavaScript has one kind of number, so that parse and stringify make 0.0 into 0; but
// Python tells a float from an int by it, and Transformers refuses one where it expects the other.

// ES2025, in Node since 21; not in TypeScript's libraries yet.
const json = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
};

/** Parses JSON to be written again: its numbers aren't numbers, but what `JSON.stringify` writes as they were. */
export function parseKeepingNumbers(text: string): unknown {
  return json.parse(text, (_, value, { source }) =>
    typeof value === "number" && source !== undefined ? json.rawJSON(source) : value,
  );
}

/** Keys of config.json and generation_config.json whose numbers are floats to Python. */
const floats = new Set([
  "attention_dropout",
  "factor",
  "high_freq_factor",
  "initializer_range",
  "llm_int8_threshold",
  "low_freq_factor",
  "repetition_penalty",
  "rms_norm_eps",
  "rope_theta",
  "router_aux_loss_coef",
  "router_jitter_noise",
  "temperature",
  "top_p",
]);

/** The text of a config.json: indented, with Python's types of numbers. */
export function configText(value: unknown): string {
  const typed = (key: string, inner: unknown): unknown =>
    typeof inner === "number" && Number.isInteger(inner) && floats.has(key)
      ? json.rawJSON(`${inner}.0`)
      : inner;
  return `${JSON.stringify(value, typed, 2)}\n`;
}
