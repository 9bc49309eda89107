// One rank of a test of the flight recorder: `recorder.ts MODE FOLDER`. Something goes wrong on the last rank.
import {
  allReduce,
  broadcast,
  dumpFlightRecorder,
  isend,
  recv,
  setCallTimeout,
} from "../../../src/comm/index.ts";
import { full } from "../../../src/torch/index.ts";
import { joinWorld, leave, rank, size, tell } from "../rank.ts";

const [mode, folder] = process.argv.slice(2) as [string, string];
const entries = mode === "forgets" ? 4 : 100;
await joinWorld({ timeoutSeconds: 30, flightRecorder: { entries, folder } });
const last = size - 1;
const isLast = rank === last;
const x = full([4, 2], 1);

/** Blocks this thread: only another one can write anything down. */
const busy = (seconds: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
};

try {
  for (let step = 0; step < 4; step++) {
    allReduce(x);
    if (step === 2) {
      setCallTimeout(2);
      if (mode === "leaves-out" && isLast) continue;
      if (mode === "busy" && isLast) busy(6);
      if (mode === "killed" && isLast) process.kill(process.pid, "SIGKILL");
      if (mode === "other-size" && isLast) broadcast(full([3], 1), { src: 0 });
      if (mode === "message" && rank === 0) recv(x, last, { tag: 3 });
      if (mode === "message" && isLast) busy(6);
    }
    broadcast(x, { src: 0 });
    if (mode === "message") {
      if (isLast) isend(x, 0, { tag: 3 });
      if (rank === 0) recv(x, last, { tag: 3 });
    }
  }
  if (mode === "forgets") dumpFlightRecorder("as the test wants it");
  tell({ note: "ended", value: "well" });
} catch (error) {
  tell({ note: "ended", value: (error as Error).message });
}
// The host of the store stays until the others have asked who is missing.
if (rank === 0) busy(3);
leave();
process.exit(0);
