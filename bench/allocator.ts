// What keeping big freed blocks is worth in a training-like step: our CPU allocator, the same with keeping turned off,
// libtorch's own, and libtorch's own with glibc told to keep (mallopt). Time, page faults, and peak memory, each
// contender a process of its own, rounds in alternation, one thread.
import { join } from "node:path";

import { alternate, median, medianRatio, Peer, quick, report } from "./harness.ts";

const contenders = {
  kept: { TORCHFORGE_ALLOCATOR: "" },
  unkept: { TORCHFORGE_ALLOCATOR: "" },
  libtorch: { TORCHFORGE_ALLOCATOR: "libtorch" },
  mallopt: { TORCHFORGE_ALLOCATOR: "mallopt" },
} as const;
type Name = keyof typeof contenders;
const names = Object.keys(contenders) as Name[];

interface Answer {
  ms: number;
  faults: number;
  peakRssMb: number;
}

const steps = quick ? 2 : 5;
const rounds = quick ? 3 : 11;

using stack = new DisposableStack();
const faults = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
const peaks = new Map<Name, number>();
const peers = Object.fromEntries(
  names.map((name) => {
    const peer = stack.use(
      new Peer(process.execPath, [join(import.meta.dirname, "allocator-step.ts"), name], {
        ...contenders[name],
        OMP_NUM_THREADS: "1",
        MKL_NUM_THREADS: "1",
      }),
    );
    const measure = async () => {
      const answer = (await peer.ask({ steps })) as Answer;
      faults[name].push(answer.faults);
      peaks.set(name, answer.peakRssMb);
      return answer.ms;
    };
    return [name, measure];
  }),
) as Record<Name, () => Promise<number>>;

const times = await alternate(rounds, peers, 2);
const figures: Record<string, number> = {};
for (const name of names) {
  figures[`${name}_step_ms`] = median(times[name]);
  figures[`${name}_page_faults_per_step`] = median(faults[name]);
  figures[`${name}_peak_rss_mb`] = peaks.get(name)!;
}
report(
  "allocator",
  figures,
  [
    {
      name: "step time to libtorch's allocator",
      value: medianRatio(times.kept, times.libtorch),
      op: "<=",
      limit: 1,
    },
    {
      name: "page faults to libtorch's allocator",
      value: median(faults.kept) / median(faults.libtorch),
      op: "<=",
      limit: 0.1,
    },
  ],
  { threads: 1 },
);
