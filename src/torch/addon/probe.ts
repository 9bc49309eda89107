// A program of its own: loads the addon and prints what libtorch says of itself, as JSON. `forge doctor` starts it in
// a child process, so that it survives an addon that crashes while loading, and never loads libtorch itself.
import { messageOf } from "../../util/index.ts";
import { loadAddon } from "./load.ts";

const started = performance.now();
try {
  const info = JSON.parse((loadAddon() as { info(): string }).info()) as object;
  console.log(JSON.stringify({ loadMs: Math.round(performance.now() - started), ...info }));
} catch (error) {
  console.log(JSON.stringify({ error: messageOf(error) }));
}
