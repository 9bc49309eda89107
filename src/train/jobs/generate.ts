// The job of `forge generate`: one answer, streamed.
import { generate } from "../../models/index.ts";
import { ChatModel } from "../inference.ts";
import type { JobContext } from "./context.ts";

export interface GenerateJob {
  model: string;
  prompt: string;
  maxNewTokens: number;
  temperature: number;
  topP: number;
  topK: number;
  seed: number | undefined;
}

export interface GenerateResult {
  text: string;
  promptTokens: number;
  newTokens: number;
  seconds: number;
}

export async function run(job: GenerateJob, context: JobContext): Promise<GenerateResult> {
  const chat = await ChatModel.load(job.model);
  const prompt = chat.encodePrompt(job.prompt);
  const begin = performance.now();
  const ids: number[] = [];
  let shown = "";
  const { maxNewTokens, temperature, topP, topK } = job;
  generate(chat.model, [prompt], {
    maxNewTokens,
    temperature,
    topP,
    topK,
    stopIds: chat.stopIds,
    ...(job.seed === undefined ? {} : { seed: job.seed }),
    onToken: (_, id) => {
      ids.push(id);
      // A character of several tokens shows once it is whole.
      const text = chat.decode(ids);
      if (text.endsWith("\u{fffd}") || !text.startsWith(shown)) return;
      context.text(text.slice(shown.length));
      shown = text;
    },
  });
  const text = chat.decode(ids);
  context.text(text.slice(shown.length));
  return {
    text,
    promptTokens: prompt.length,
    newTokens: ids.length,
    seconds: (performance.now() - begin) / 1000,
  };
}
