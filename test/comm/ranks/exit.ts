// Ends in the middle of a call, the way its argument says. The process must go at once, with its own exit code.
import { allReduce, irecv } from "../../../src/comm/index.ts";
import { zeros } from "../../../src/torch/index.ts";
import { joinWorld, rank, tell } from "../rank.ts";

const how = process.argv[2]!;
await joinWorld({ timeoutSeconds: 60 });
if (rank === 0) {
  const works = [allReduce(zeros([4]), { async: true }), irecv(zeros([4]), 1)];
  const all = Promise.all(works);
  await new Promise((done) => setTimeout(done, 100));
  tell({ note: "leaving", value: true });
  if (how === "exit") process.exit(7);
  if (how === "throw") {
    setImmediate(() => {
      throw new Error("on purpose");
    });
  }
  await all;
} else {
  await new Promise((done) => setTimeout(done, 3_000));
  process.exit(0);
}
