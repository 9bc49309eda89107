// A controller for the tests, to be interrupted or killed: runs a Counter and tells the process ids of its workers.
import { runActor } from "../../../src/actors/index.ts";
import { configFor } from "../setting.ts";
import { Counter } from "./counter.ts";

const [procs = "1", ...description] = process.argv.slice(2);
const config = configFor(Number(procs), description.join(" "), { training: { steps: 1_000_000 } });
let begun = 0;
const result = await runActor(Counter, config, {
  onEvent: (event) => {
    if (event.type === "phase" && event.phase === "run" && event.state === "begun")
      console.log("run has begun");
    if (event.type === "log" && event.text.startsWith("last words")) console.log("hangs");
    if (event.type === "progress" && event.done === 2 && ++begun === Number(procs)) console.log("counting");
  },
});
console.log(`stopped: ${result.stopped}`);
