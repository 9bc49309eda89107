// A separate program that builds the addon, with progress on stderr. The addon's loader runs it in a child process, because loading
// is synchronous and building is not.
import { UserError } from "../util/index.ts";
import { buildAddon } from "./build.ts";
import { requireLibtorch } from "./locate.ts";
import { progressLine } from "./progress.ts";

const progress = progressLine();
try {
  await buildAddon(requireLibtorch(), { onProgress: progress.update });
  progress.end();
} catch (error) {
  progress.end();
  console.error(error instanceof UserError ? error.message : error);
  process.exitCode = 1;
}
