// By hand: SmolLM2-135M-Instruct on two ranks against one process, over the same rows: its losses, memory and seconds.
//   node test/parallel/smollm2.ts [steps]
// Ends with 1 unless every loss agrees within 1e-5 of itself: sums of float32 in another order.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { obtainSmolLM2 } from "../../src/quickstart/index.ts";
import { launch } from "../comm/launch.ts";
import { root } from "../programs.ts";

const steps = Number(process.argv[2] ?? 5);
const work = mkdtempSync(join(tmpdir(), "torchforge-smollm2-"));
try {
  const { folder } = await obtainSmolLM2();
  const config = join(work, "run.yaml");
  const losses = new Map<string, number[]>();
  for (const [name, procs, replicate] of [
    ["one process", 1, 1],
    ["FSDP", 2, 1],
    ["DDP", 2, 2],
  ] as const) {
    writeFileSync(
      config,
      JSON.stringify({
        job: { dump_folder: work },
        model: { hf_assets_path: folder },
        processes: { procs },
        parallelism: { data_parallel_replicate_degree: replicate },
        optimizer: { lr: 1e-5 },
        lr_scheduler: { warmup_steps: 0 },
        training: {
          steps,
          seq_len: 512,
          packed: false,
          local_batch_size: 1,
          global_batch_size: 4,
          seed: 1,
          datasets: [{ path: join(root, "data", "alpaca-python.jsonl") }],
        },
        checkpoint: { enable: false },
      }),
    );
    const ranks = await launch(join(import.meta.dirname, "ranks", "train"), procs, {
      args: [config, ""],
      limitSeconds: 3600,
    });
    for (const { code, stderr } of ranks) if (code !== 0) throw new Error(stderr);
    const found = ranks[0]!.notes.get("losses") as number[];
    losses.set(name, found);
    const { currentBytes } = ranks[0]!.notes.get("memory") as { currentBytes: number };
    console.log(
      `${name}: losses ${found.map((loss) => loss.toFixed(6)).join(" ")}; ${(currentBytes / 2 ** 20).toFixed(0)} MiB of weights and moments a rank; ${ranks[0]!.seconds.toFixed(0)} s`,
    );
  }
  const expected = losses.get("one process")!;
  for (const [name, found] of losses) {
    const most = Math.max(...found.map((loss, i) => Math.abs(loss - expected[i]!) / expected[i]!));
    console.log(`${name}: differs from one process by at most ${most.toExponential(1)} of a loss`);
    if (!(most < 1e-5) || found.length !== steps) process.exitCode = 1;
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
