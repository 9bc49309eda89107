// One rank of a measurement: `memory.ts CONFIG`. The most bytes of tensors in a step of the real trainer on full packs, and
// what it sends in that step.
import { Config } from "../../../src/config/index.ts";
import { Trainer } from "../../../src/train/index.ts";
import { memoryStats } from "../../../src/torch/index.ts";
import { joinWorld, leave, rank, tell } from "../../comm/rank.ts";
import { recordSent, type Sent } from "../recorded.ts";

const config = Config.fromYaml(process.argv[2]!);
const isAlone = config.processes.procs === 1;
if (!isAlone) await joinWorld({ timeoutSeconds: 600, flightRecorder: { entries: 20_000 } });
const trainer = await Trainer.create(config);
const stateBytes = memoryStats().currentBytes;
let peakBytes = 0;
const measure = (): void => void ({ peakBytes } = trainer.measure());
let sent: Sent = {};
if (isAlone) measure();
else sent = recordSent(rank, measure);
tell({ note: "memory", value: { stateBytes, peakBytes } });
tell({ note: "sent", value: sent });
await trainer.close();
leave();
