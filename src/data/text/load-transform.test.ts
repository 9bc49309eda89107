import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { Config, type ConfigInput } from "../../config/index.ts";
import { checkData, trainingData } from "../load/from-config.ts";
import type { LoaderState } from "../load/loader.ts";
import { openLoader } from "../load/open.ts";
import { loadTransform } from "./load-transform.ts";
import { Tokenizer } from "./tokenizer.ts";

const dir = mkdtempSync(join(tmpdir(), "torchforge-transform-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const fixture = join(import.meta.dirname, "../../../test/fixtures/data/qwen-style.json.gz");
const files = JSON.parse(gunzipSync(readFileSync(fixture)).toString()) as Record<
  string,
  Record<string, unknown>
>;
const tokenizer = new Tokenizer({
  tokenizer: files["tokenizer"]!,
  tokenizerConfig: {
    ...files["config"],
    chat_template: "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}",
  },
});
let times = 0;
const write = (name: string, text: string): string => {
  const path = join(dir, name);
  writeFileSync(path, text);
  utimesSync(path, 1e9 + ++times, 1e9 + times); // each writing at another time
  return path;
};
const data = write(
  "questions.jsonl",
  Array.from({ length: 8 }, (_, i) => `${JSON.stringify({ q: `What is ${i}?`, a: `It is ${i}.` })}\n`).join(
    "",
  ),
);
const module = (greeting: string): string => `
import { user } from "./roles.ts";
export const greeting: string = ${JSON.stringify(greeting)};
export function toMessages(row: { q: string; a: string }) {
  if (row.a === "It is 9.") throw new RangeError("nine");
  return [{ role: user, content: greeting + row.q }, { role: "assistant", content: row.a }];
}
`;
const roles = 'export const user: string = "user";\n';
write("roles.ts", roles);
const rows = write("rows.ts", module("Hello! "));
const specOf = (training: ConfigInput["training"]) =>
  Config.create({
    model: { hf_assets_path: "unused" },
    training: { seq_len: 64, dataset: data, message_transform: `${rows}#toMessages`, ...training },
  }).spec;
const first = async (training: ConfigInput["training"] = {}, state?: LoaderState) => {
  const cacheFolder = join(dir, "cache");
  const loader = await openLoader({
    ...trainingData(specOf(training), tokenizer),
    cacheFolder,
    shuffle: false,
    state,
  });
  try {
    return { batch: (await loader.next())!, state: loader.stateDict() };
  } finally {
    await loader.close();
    assert.ok(!existsSync(cacheFolder), "what a function made is kept for another run");
  }
};
const textOf = async (training: ConfigInput["training"] = {}): Promise<string> =>
  tokenizer.decode((await first(training)).batch.columns.tokens);

test("a run's rows are what a function makes of them, read as a whole or streamed", async () => {
  const expected =
    "<|im_start|>user\nHello! What is 0?<|im_end|>\n<|im_start|>assistant\nIt is 0.<|im_end|>\n";
  assert.ok((await textOf()).startsWith(expected));
  assert.ok((await textOf({ stream: true })).startsWith(expected));
  assert.equal(
    specOf({ dataset: null, datasets: [{ path: data }] }).data.datasets[0]!.transformFrom,
    `${rows}#toMessages`,
  );
});

test("an edited file is loaded anew, and a saved position knows the text of it and of what it imports", async () => {
  const { state } = await first();
  write("rows.ts", module("Good day! "));
  assert.match(await textOf(), /user\nGood day! What is 0\?/);
  const changed = {
    name: "UserError",
    message: /since it was saved, these have changed: the rows of the data\./,
  };
  await assert.rejects(first({}, state), changed);
  write("rows.ts", module("Hello! "));
  await first({}, state);
  write("roles.ts", `${roles}// changed\n`);
  await assert.rejects(first({}, state), changed);
  write("roles.ts", roles);
});

test("a bad row names the function's error, file and line", async () => {
  const nine = write("nine.jsonl", '{"q": "x", "a": "It is 9."}\n');
  await assert.rejects(first({ dataset: nine }), {
    name: "UserError",
    message:
      /nine\.jsonl:1: training\.message_transform threw RangeError: nine \(.*rows\.ts.*:5\)\. Mend the row/,
  });
});

test("its file may be any TypeScript; an error has its line", async () => {
  const enums = `enum Role { User = "user", Assistant = "assistant" }
class Turn { constructor(readonly role: Role, readonly content: string) {} }
export function toMessages({ q, a }: { q: string; a: string }): Turn[] {
  if (q === "fail") throw new RangeError("no");
  return [new Turn(Role.User, q), new Turn(Role.Assistant, a)];
}`;
  const { transform } = await loadTransform(`${write("enums.ts", enums)}#toMessages`);
  assert.deepEqual(JSON.parse(JSON.stringify(transform({ q: "x", a: "y" }))), [
    { role: "user", content: "x" },
    { role: "assistant", content: "y" },
  ]);
  assert.throws(
    () => transform({ q: "fail" }),
    (error: Error) => /enums\.ts\S*:4:/.test(error.stack!),
  );
});

test("what can't be loaded is told with the next step", async () => {
  const key = "training.message_transform";
  const fails = async (reference: string, message: string | RegExp): Promise<void> =>
    await assert.rejects(loadTransform(reference), { name: "UserError", message });
  await fails("#toMessages", `${key}: expected FILE#NAME, such as ./rows.ts#toMessages; found #toMessages`);
  const nowhere = `${key}: expected a file that exports the function, such as ./rows.ts#toMessages; found none at ${join(dir, "nowhere.ts")}`;
  await fails(`${join(dir, "nowhere.ts")}#f`, nowhere);
  await assert.rejects(
    checkData(specOf({ message_transform: `${join(dir, "nowhere.ts")}#f` }).data.datasets),
    {
      message: nowhere,
    },
  );
  await fails(
    `${rows}#greeting`,
    /rows\.ts exports no function greeting \(its functions: toMessages\); write\n {2}export function greeting\(row\)/,
  );
  await fails(rows, /exports no function default \(its functions: toMessages\)/);
  await fails(
    `${write("broken.mjs", "export const a = ;")}#a`,
    /broken\.mjs can't be loaded: .*Unexpected token/,
  );
  assert.throws(() => specOf({ dataset: null, datasets: [{ path: data, format: "alpaca" }] }), {
    message:
      /training\.message_transform \(.*\) gets rows as they are, so training\.datasets\[0\] takes no format \(alpaca\); remove one of them/,
  });
  function toRows(): [] {
    return [];
  }
  assert.throws(() => specOf({ message_transform: toRows as never }), {
    name: "UserError",
    message:
      'training.message_transform: a function can\'t be sent to the processes of a run. Put it into a file of its own, exported, and name that: "./rows.ts#toRows"',
  });
});
