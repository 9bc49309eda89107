// Loaded into every process of a command under test (NODE_OPTIONS=--import): notes in the file PROBE_LOG that the process
// began, and each native addon that it loads.
import { appendFileSync } from "node:fs";
import { isMainThread } from "node:worker_threads";

const note = (text) => appendFileSync(process.env.PROBE_LOG, `${text}\n`);
if (isMainThread) note(`process ${process.argv[1]}`);
const load = process.dlopen;
process.dlopen = function (module, file, ...rest) {
  note(`addon ${file}`);
  return load.call(this, module, file, ...rest);
};
