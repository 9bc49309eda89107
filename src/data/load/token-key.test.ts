import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { Tokenizer, type TokenizerFiles } from "../text/tokenizer.ts";
import { openData, type DataOptions } from "./open.ts";
import { tokenKey, type DataIdentity } from "./token-key.ts";

const dir = mkdtempSync(join(tmpdir(), "torchforge-token-key-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const fixture = join(import.meta.dirname, "../../../test/fixtures/data/qwen-style.json.gz");
const qwen = JSON.parse(gunzipSync(readFileSync(fixture)).toString()) as Record<
  string,
  Record<string, unknown>
>;
const template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
const files: TokenizerFiles = {
  tokenizer: qwen["tokenizer"]!,
  tokenizerConfig: { ...qwen["config"], chat_template: template },
  modelConfig: { hidden_size: 8, bos_token_id: 1 },
};
const write = (name: string, text: string): string => {
  mkdirSync(dirname(join(dir, name)), { recursive: true });
  writeFileSync(join(dir, name), text);
  return join(dir, name);
};
const csv = "instruction,output\na\tb,c\n";
const data = write("rows.csv", csv);
const moved = write("elsewhere/rows.csv", csv);
const second = write("second.csv", "instruction,output\nd,e\n");

const identityOf = async (more: Partial<DataOptions> & { files?: Partial<TokenizerFiles> }) => {
  const { files: changedFiles, ...options } = more;
  const { feed, identity } = await openData({
    sources: [{ path: data, format: "instruction" }],
    tokenizer: new Tokenizer({ ...files, ...changedFiles }),
    cacheFolder: null,
    now: Date.UTC(2026, 10, 22, 12),
    ...options,
  });
  await feed.close();
  return identity.data;
};
const changed = (a: DataIdentity, b: DataIdentity): string[] =>
  Object.keys(a).filter((part) => a[part as keyof DataIdentity] !== b[part as keyof DataIdentity]);

type Change = Parameters<typeof identityOf>[0];
const source = { path: data, format: "instruction" } as const;
const tokenizerConfig = files.tokenizerConfig!;
const transform = (): [] => [];
const otherTransform = (): { messages: [] } => ({ messages: [] });
const nextDay = Date.UTC(2026, 10, 23, 12);
const inAnHour = Date.UTC(2026, 10, 22, 13);
const base: Change = {};
const dated: Change = { chatTemplate: "{{ strftime_now('%d %b') }}" };
const timed: Change = { chatTemplate: '{% set now = strftime_now %}{{ now("%H") }}' };

// What is changed, from what, and which part of the identity says so.
const changes: readonly (readonly [string, Change, Change, string])[] = [
  ["a row", base, { sources: [{ ...source, path: write("a.csv", csv.replace("c", "C")) }] }, "rows"],
  ["the same bytes read as TSV", base, { sources: [{ ...source, path: write("a.tsv", csv) }] }, "rows"],
  [
    "the rows that are taken",
    { sources: [source, { ...source, path: second }] },
    { sources: [source] },
    "rows,formats",
  ],
  [
    "the order of data sets",
    { sources: [source, { ...source, path: second }] },
    { sources: [{ ...source, path: second }, source] },
    "rows",
  ],
  ["a part of a split", base, { sources: [{ ...source, split: "train[-1:]" }] }, ""],
  ["the form", base, { sources: [{ path: data, format: "alpaca" }] }, "formats"],
  ["the columns", base, { sources: [{ ...source, columns: { output: "instruction" } }] }, "formats"],
  [
    "a function",
    { sources: [{ path: data, transform }] },
    { sources: [{ path: data, transform: otherTransform }] },
    "rows",
  ],
  ["tokenizer.json", base, { files: { tokenizer: { ...files.tokenizer, version: "1.1" } } }, "tokenizer"],
  [
    "tokenizer_config.json",
    base,
    { files: { tokenizerConfig: { ...tokenizerConfig, add_eos_token: true } } },
    "tokenizer",
  ],
  ["special_tokens_map.json", base, { files: { specialTokensMap: { unk_token: "x" } } }, "tokenizer"],
  ["generation_config.json", base, { files: { generationConfig: { eos_token_id: 3 } } }, "tokenizer"],
  ["ids in config.json", base, { files: { modelConfig: { hidden_size: 8, bos_token_id: 2 } } }, "tokenizer"],
  ["sizes in config.json", base, { files: { modelConfig: { hidden_size: 16, bos_token_id: 1 } } }, ""],
  [
    "chat_template.jinja",
    base,
    { files: { chatTemplates: { default: { text: `${template} `, file: "chat_template.jinja" } } } },
    "template",
  ],
  [
    "the template's file",
    { files: { chatTemplates: { default: { text: template, file: "a.jinja" } } } },
    { files: { chatTemplates: { default: { text: template, file: "b.jinja" } } } },
    "",
  ],
  ["model.chat_template", base, { chatTemplate: `${template} ` }, "template"],
  ["the template's variables", base, { templateVariables: { enable_thinking: false } }, "template"],
  ["the day, where no template writes it", base, { now: nextDay }, ""],
  ["the day, where one does", dated, { ...dated, now: nextDay }, "template"],
  ["the hour, where one writes the day", dated, { ...dated, now: inAnHour }, ""],
  ["the hour, where what is written isn't known", timed, { ...timed, now: inAnHour }, "template"],
  ["what is trained", base, { trainOn: "all" }, "settings"],
  ["the file's place", base, { sources: [{ ...source, path: moved }] }, ""],
];
for (const [name, from, to, parts] of changes) {
  test(`${name}: ${parts || "the same tokens"}`, async () => {
    const [before, after] = [await identityOf(from), await identityOf(to)];
    assert.equal(changed(before, after).join(), parts);
    assert.equal(tokenKey(before) === tokenKey(after), parts === "");
  });
}

test("the key has the software in it: what other code made is not taken", async () => {
  const identity = await identityOf({});
  assert.equal(tokenKey(identity), tokenKey(identity));
  assert.notEqual(tokenKey(identity, "another version"), tokenKey(identity));
});
