// A separate program: loads the addon and prints libtorch's build information as JSON. `forge doctor` runs it in a child
// process, so that doctor survives an addon that crashes while loading.
import { messageOf } from "../../util/index.ts";
import { loadAddon } from "./load.ts";

const started = performance.now();
try {
  const info = JSON.parse((loadAddon() as { info(): string }).info()) as object;
  console.log(JSON.stringify({ loadMs: Math.round(performance.now() - started), ...info }));
} catch (error) {
  console.log(JSON.stringify({ error: messageOf(error) }));
}
