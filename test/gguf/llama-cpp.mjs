// Runs GGUF files in llama.cpp, through node-llama-cpp: `node llama-cpp.mjs NODE_MODULES`, with a JSON list of
// { file, prompts } on standard input. Prints for each prompt its ids and the eight greedy tokens after it.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const entry = createRequire(join(process.argv[2], "_.js")).resolve("node-llama-cpp");
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(entry).href);
const llama = await getLlama({
  gpu: false,
  build: "never",
  logLevel: LlamaLogLevel.error,
  skipDownload: true,
});

const answers = [];
for (const { file, prompts } of JSON.parse(readFileSync(0, "utf8"))) {
  const model = await llama.loadModel({ modelPath: file });
  const context = await model.createContext({ contextSize: 128, threads: 1 });
  const sequence = context.getSequence();
  const found = [];
  for (const prompt of prompts) {
    await sequence.clearHistory();
    const ids = model.tokenize(prompt, false);
    const tokens = [];
    for await (const token of sequence.evaluate(ids, { temperature: 0 })) {
      tokens.push(token);
      if (tokens.length === 8) break;
    }
    found.push({ ids, tokens });
  }
  answers.push({ file, found });
  await context.dispose();
  await model.dispose();
}
console.log(JSON.stringify(answers));
process.exit(0);
