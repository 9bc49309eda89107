// The utilities of the guide.
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { ignoreIndex, type Message, type MessageTransform, type Tokenizer } from "../../src/data/index.ts";
import { float32, int64, tensor, type Tensor } from "../../src/torch/index.ts";
import {
  createContextParallelContext,
  logTrainingStep,
  moveBatchToDevice,
  setupSftDataloader,
  setupTokenizer,
} from "../../src/train/utils/index.ts";
import { makeTinyModel } from "../models/tiny-model.ts";

const folder = mkdtempSync(join(tmpdir(), "torchforge-utils-"));
after(() => rmSync(folder, { recursive: true }));
const model = join(folder, "model");
const rows = join(folder, "rows.jsonl");
let tokenizer: Tokenizer;

before(async () => {
  makeTinyModel(model);
  writeFileSync(
    rows,
    Array.from({ length: 12 }, (_, i) =>
      JSON.stringify({ instruction: `Say ${i}`, input: "", output: `It is ${i}.` }),
    ).join("\n"),
  );
  tokenizer = await setupTokenizer(model);
});

test("setupTokenizer: the tokenizer of a folder, its files by the names that they have", async () => {
  assert.equal(tokenizer.decode(tokenizer.encode("Hello there")), "Hello there");
  const other = join(folder, "other");
  cpSync(model, other, { recursive: true });
  renameSync(join(other, "tokenizer.json"), join(other, "mine.json"));
  await assert.rejects(setupTokenizer(other), { name: "UserError", message: /other has no tokenizer\.json/ });
  writeFileSync(join(other, "generation.json"), JSON.stringify({ eos_token_id: 7 }));
  const renamed = await setupTokenizer(other, "mine.json", "tokenizer_config.json", "generation.json");
  assert.deepEqual(renamed.encode("Hello there"), tokenizer.encode("Hello there"));
  assert.ok(renamed.stopIds.includes(7));
  await assert.rejects(setupTokenizer(join(folder, "nowhere")), {
    message: /^hfAssetsPath: expected a model folder, found nothing at .*nowhere/,
  });
});

test("setupSftDataloader: packs as tensors, with a state", async () => {
  const options = {
    tokenizer,
    datasetPath: rows,
    datasetSplit: "train",
    targetTokensPerPack: 128,
    batchSize: 2,
    device: "cpu",
  };
  await using loader = await setupSftDataloader({ ...options, paddingIdx: 3 });
  const first = await loader.next();
  for (const one of Object.values(first) as Tensor[]) {
    assert.deepEqual(one.shape, [2, 128]);
    assert.equal(one.dtype, int64);
  }
  const [tokens, labels, positions, documents] = [
    first.tokens,
    first.labels,
    first.inputPos,
    first.documentIds,
  ].map((one) => (one.tolist() as number[][])[0]!.map(Number)) as [number[], number[], number[], number[]];
  assert.ok(labels.some((label) => label !== ignoreIndex));
  for (const [t, label] of labels.entries()) if (label !== ignoreIndex) assert.equal(label, tokens[t + 1]);
  for (const [t, document] of documents.entries())
    if (t > 0 && document !== documents[t - 1]) assert.equal(positions[t], 0);
  const padding = documents.findIndex((document) => document === documents.at(-1));
  assert.ok(padding < 128 && labels.slice(padding).every((label) => label === ignoreIndex));
  assert.ok(tokens.slice(padding).every((token) => token === 3));

  const state = JSON.parse(JSON.stringify(loader.stateDict())) as ReturnType<typeof loader.stateDict>;
  const next = (await loader.next()).tokens.tolist();
  await using resumed = await setupSftDataloader({ ...options, paddingIdx: 3 });
  await resumed.loadStateDict(state);
  for await (const batch of resumed) {
    assert.deepEqual(batch.tokens.tolist(), next);
    break;
  }
  await assert.rejects(setupSftDataloader({ ...options, datasetPath: "nowhere.jsonl" }), {
    name: "UserError",
    message: /^datasetPath: nowhere\.jsonl was not found/,
  });
});

test("setupSftDataloader: messageTransform may be a function; what it does wrong is told with file and row", async () => {
  const lines = Array.from({ length: 12 }, (_, i) => ({ question: `Say ${i}`, answers: [`It is ${i}.`] }));
  const questions = join(folder, "questions.jsonl");
  writeFileSync(questions, lines.map((line) => JSON.stringify(line)).join("\n"));
  const written = join(folder, "written.jsonl");
  interface Question {
    question: string;
    answers: string[];
  }
  const transform = ({ question, answers }: Question): Message[] => [
    { role: "user", content: question },
    { role: "assistant", content: answers[0]! },
  ];
  writeFileSync(written, lines.map((line) => JSON.stringify({ messages: transform(line) })).join("\n"));
  const options = {
    tokenizer,
    datasetSplit: "train",
    targetTokensPerPack: 128,
    batchSize: 2,
    device: "cpu",
  };
  await using plain = await setupSftDataloader({
    ...options,
    datasetPath: written,
    messageTransform: "messages",
  });
  const own = { ...options, datasetPath: questions, messageTransform: transform };
  await using loader = await setupSftDataloader(own);
  for (let i = 0; i < 3; i++)
    assert.deepEqual((await loader.next()).tokens.tolist(), (await plain.next()).tokens.tolist());

  const state = loader.stateDict();
  await using resumed = await setupSftDataloader(own);
  await resumed.loadStateDict(state);
  assert.deepEqual((await resumed.next()).tokens.tolist(), (await loader.next()).tokens.tolist());
  await using changed = await setupSftDataloader({
    ...own,
    messageTransform: (row: Question) => transform(row),
  });
  await assert.rejects(changed.loadStateDict(state), {
    name: "UserError",
    message: /have changed: the rows of the data/,
  });

  const next = async (messageTransform: MessageTransform<Question>, onBadRow?: "skip"): Promise<unknown> => {
    await using other = await setupSftDataloader({ ...own, messageTransform, ...(onBadRow && { onBadRow }) });
    return other.next();
  };
  for (const [given, message] of [
    [
      ({ answers }) => transform({ question: "", answers: [answers[1]!.trim()] }),
      /questions\.jsonl:\d+: messageTransform threw TypeError: Cannot read .*trim.* \(.*utils\.test\.ts:\d+\)\. Mend the row, .* with onBadRow: skip\.$/,
    ],
    [
      (() => "hello") as never,
      /:\d+: messageTransform must return messages, \[\{ role, content \}, …\], or \{ messages, tools \}; it gave text "hello"/,
    ],
    [(async () => []) as never, /it gave a promise: it can't be async/],
    [(() => ({ text: "x" })) as never, /it gave an object whose messages are nothing/],
    [() => [], /messageTransform gave what can't be used: column "messages" is empty/],
    [
      () => [{ role: "teacher", content: "x" }],
      /messageTransform gave what can't be used: messages\[0\]: unknown role "teacher"/,
    ],
  ] as [MessageTransform<Question>, RegExp][])
    await assert.rejects(next(given), { name: "UserError", message });

  // Left out: nothing of the odd rows is in any batch of two epochs.
  await using some = await setupSftDataloader({
    ...own,
    onBadRow: "skip",
    messageTransform: (row: Question) => {
      if (Number(row.question.slice(4)) % 2 === 1) throw new Error("odd");
      return transform(row);
    },
  });
  const ids = (await some.next()).tokens.reshape([-1]).tolist() as bigint[];
  const text = tokenizer.decode(ids.map(Number));
  assert.ok(
    text.includes("It is 4.") && text.includes("It is 10.") && !/It is (\d?[13579])\./.test(text),
    text,
  );
  await assert.rejects(
    next(() => {
      throw new Error("never");
    }, "skip"),
    { message: /none of its 12 rows can be trained, .*12 rows: messageTransform threw Error: never/ },
  );
  await assert.rejects(setupSftDataloader({ ...own, messageTransform: "alpacca" as never }), {
    name: "UserError",
    message: /^messageTransform: expected a function of a row, or one of alpaca, .*, auto; found 'alpacca'$/,
  });
  for (const [name, value, message] of [
    [
      "datasetPath",
      undefined,
      "datasetPath: expected a file, a folder or the name of a data set; found nothing",
    ],
    ["tokenizer", model, `tokenizer: expected what setupTokenizer gives; found '${model}'`],
    ["batchSize", 0, "batchSize: expected a whole number of at least 1; found 0"],
  ] as const)
    await assert.rejects(setupSftDataloader({ ...own, [name]: value }), { name: "UserError", message });
  await assert.rejects(setupSftDataloader({ ...own, onBadRow: "ignore" as never }), {
    message: /^onBadRow: expected one of error, skip; found 'ignore'$/,
  });
});

test("moveBatchToDevice: every tensor, nested ones too; the rest as it is", () => {
  const one = tensor([1, 2], { dtype: float32 });
  const batch = {
    tokens: one,
    metadata: "some_string",
    nested: { list: [one, 3, null], map: new Map([["k", one]]), set: new Set([one]) },
    when: new Date(0),
  };
  const moved = moveBatchToDevice(batch, "meta");
  assert.equal(String(moved.tokens.device), "meta");
  assert.equal(String((moved.nested.list[0] as Tensor).device), "meta");
  assert.equal(String(moved.nested.map.get("k")!.device), "meta");
  assert.equal(String([...moved.nested.set][0]!.device), "meta");
  assert.equal(moved.metadata, "some_string");
  assert.deepEqual(moved.nested.list.slice(1), [3, null]);
  assert.equal(moved.when, batch.when);
  assert.equal(String(batch.tokens.device), "cpu", "the given batch stays as it is");
  assert.deepEqual(moveBatchToDevice(one, "cpu").tolist(), [1, 2]);
});

test("createContextParallelContext: undefined where it is off; what can't be cut is refused", async () => {
  const of = (length: number) => tensor(Array.from({ length }, (_, i) => i)).reshape([1, length]);
  const make = (context: number, inputs: Tensor, labels = inputs, documents?: number[][]) =>
    createContextParallelContext({ context }, inputs, labels, [], "allgather", documents);
  assert.equal(await make(1, of(3)), undefined);
  for (const [asked, message] of [
    [
      () => make(2, of(6)),
      /^createContextParallelContext: inputs: 6 positions must be a multiple of 2 × .* = 4; pad them/,
    ],
    [() => make(2, of(8), of(4)), /expected inputs and labels of one shape .* found \[1, 8\] and \[1, 4\]$/],
    [
      () => make(2, tensor([1])),
      /expected inputs and labels of one shape \[sequences, positions\], found \[1\] and \[1\]$/,
    ],
    [
      () => make(2, of(8), of(8), [[3, 4]]),
      /documentLengths: expected those of 1 sequences, each summing to 8, found sums of 7$/,
    ],
    [() => make(2, of(8)), /initProcessGroup\(\) first/],
  ] as const)
    await assert.rejects(asked, { name: "UserError", message });
});

test("logTrainingStep: the guide's line, of a number or a tensor", () => {
  const lines: string[] = [];
  const logger = { info: (line: string) => void lines.push(line) };
  logTrainingStep(100, 1000, 2.34561, logger);
  logTrainingStep(1, 2, tensor(0.5), logger);
  assert.deepEqual(lines, ["Step 100/1000 | Loss: 2.3456", "Step 1/2 | Loss: 0.5000"]);
});
