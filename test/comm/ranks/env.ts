// Joins by the launcher's environment alone.
import { allGatherObject, barrier, destroyProcessGroup, initProcessGroup } from "../../../src/comm/index.ts";
import { setNumThreads } from "../../../src/torch/index.ts";
import { leave, tell } from "../rank.ts";

setNumThreads(1);
try {
  const world = await initProcessGroup({
    timeoutSeconds: 20,
    initTimeoutSeconds: Number(process.argv[2] ?? 60),
  });
  tell({
    note: "ranks",
    value: await allGatherObject({ rank: world.rank, local: process.env["LOCAL_RANK"] }),
  });
  await barrier({ async: true });
  await destroyProcessGroup();
} catch (error) {
  tell({ note: "error", value: String(error) });
}
leave();
