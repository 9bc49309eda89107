// The language thread's program: TypeScript's language service, in a thread of its own because it may think for seconds.
import { parentPort, workerData } from "node:worker_threads";

import type { LanguageRequest, LanguageReply } from "./language-thread.ts";
import { NotebookLanguage } from "./language-service.ts";

const language = new NotebookLanguage(workerData as string);

parentPort!.on("message", (request: LanguageRequest) => {
  if (request.type === "cell") return language.add(request.code);
  let reply: LanguageReply = { id: request.id, found: undefined };
  try {
    reply = { id: request.id, found: language[request.type](request.code, request.position) };
  } catch {
    // TypeScript stumbled over half-written code: it knows nothing then
  }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort!.postMessage(reply);
});
