// One rank of a measurement of memory: `memory.ts CONFIG`. The most bytes of tensors in a step of the real trainer on full packs.
import { Config } from "../../../src/config/index.ts";
import { Trainer } from "../../../src/train/index.ts";
import { memoryStats } from "../../../src/torch/index.ts";
import { joinWorld, leave, tell } from "../../comm/rank.ts";

const config = Config.fromYaml(process.argv[2]!);
if (config.processes.procs > 1) await joinWorld({ timeoutSeconds: 600 });
const trainer = await Trainer.create(config);
const stateBytes = memoryStats().currentBytes;
const { peakBytes } = trainer.measure();
tell({ note: "memory", value: { stateBytes, peakBytes } });
await trainer.close();
leave();
