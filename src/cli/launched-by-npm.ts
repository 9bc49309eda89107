// npm and npx start a program through a shell. When they are told to end (`docker stop` and the like), they pass SIGTERM to that
// shell alone, and the program would go on without anybody: it watches for that, and ends as if the signal were its own.
import { outlivesTerminal } from "../util/index.ts";

const everyMs = 500;

/** Sends this process SIGTERM once the shell that npm started it with is gone. Does nothing where npm didn't. */
export function endWithNpm(): void {
  const byNpm = process.env["npm_command"] ?? process.env["npm_lifecycle_event"];
  if (byNpm === undefined || process.platform === "win32" || outlivesTerminal()) return;
  // One whose script went to the background (`torchforge sft &`) has another parent by now, which stays.
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    console.error("note: npm, which started this command, has ended: the command ends, too");
    process.kill(process.pid, "SIGTERM");
  }, everyMs);
  timer.unref();
}
