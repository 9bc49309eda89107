// Prints what we make of a model folder, for transformers_check.py: node test/models/logits.ts FOLDER > logits.json
import { ChatModel } from "../../src/train/trainer/inference.ts";
import { fromTypedArray, noGrad } from "../../src/torch/index.ts";

const text = "The quick brown fox jumps over the lazy dog; naïve café, 你好.\ndef f(x): return x + 1";
const chat = await ChatModel.load(process.argv[2]!);
const ids = [...chat.tokenizer.encode(text)];
const tensor = (values: readonly number[]) =>
  fromTypedArray(BigInt64Array.from(values, BigInt), [values.length]);
chat.model.prepare(ids.length);
const logits = noGrad(() => {
  const sequence = { positions: tensor(ids.map((_, i) => i)), lengths: [ids.length] };
  return chat.model.head.logits(chat.model.hidden(tensor(ids), sequence)).tolist();
});
const prompt = chat.template!.render([{ role: "user", content: text }], { addGenerationPrompt: true });
console.log(JSON.stringify({ text, ids, chat: prompt, logits }));
