// The program of the language thread: TypeScript's language service, in its own thread because a request may take seconds.
import { parentPort, workerData } from "node:worker_threads";

import type { LanguageRequest, LanguageReply } from "./language-thread.ts";
import { NotebookLanguage } from "./language-service.ts";

const language = new NotebookLanguage(workerData as string);

parentPort!.on("message", (request: LanguageRequest) => {
  if (request.type === "cell") return language.add(request.code);
  let reply: LanguageReply = { id: request.id, result: undefined };
  try {
    reply = { id: request.id, result: language[request.type](request.code, request.position) };
  } catch {
    // TypeScript fails on some half-written code
  }
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  parentPort!.postMessage(reply);
});
