// `forge plan` without libtorch: what it says of a pipeline, and what it refuses.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { flavorJson } from "../../src/models/index.ts";
import { forge } from "./forge.ts";

const folder = mkdtempSync(join(tmpdir(), "torchforge-plan-"));
after(() => rmSync(folder, { recursive: true, force: true }));
writeFileSync(
  join(folder, "config.json"),
  JSON.stringify({
    model_type: "llama",
    vocab_size: 49152,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    max_position_embeddings: 8192,
    tie_word_embeddings: true,
  }),
);
const config = join(folder, "run.yaml");
writeFileSync(
  config,
  JSON.stringify({
    model: { hf_assets_path: folder },
    processes: { procs: 4 },
    parallelism: { pipeline_parallel_degree: 2 },
    training: { local_batch_size: 4, seq_len: 2048, dataset: "rows.jsonl" },
  }),
);

// A libtorch that is not there: whatever loaded it would fail.
const plan = (...overrides: string[]) =>
  forge(["plan", "--config", config, ...overrides], {
    env: { TORCHFORGE_LIBTORCH: join(folder, "none"), TORCHFORGE_AUTOBUILD: "0" },
  });

test("the plan of a pipeline with sharded stages", async () => {
  const { code, stdout, stderr } = await plan();
  assert.equal(code, 0, stderr);
  const at = stdout.indexOf("memory");
  assert.equal(
    stdout.slice(0, at),
    `model          134,515,008 parameters, 30 layers, tied embedding
mesh           4 processes: pp 2 x dp_shard 2 (the last one fastest)
step           8 rows of 2048 positions: 4 a rank and pass, 1 pass

stages
  stage 0   pp 0   embedding, layers 0-17          92,033,280 parameters   50.0 % of the work
  stage 1   pp 1   layers 18-29, head              42,481,728 parameters   50.0 % of the work

schedule       1F1B: 4 microbatches of one row, idle 20.0 %, at most 2 held by a process
  rank 0  0  1  .  .  0'    2  1'    3  2'    .  3'
  rank 1  .  0  0'    1  1'    2  2'    3  3'
  3: forward of microbatch 3, 3': backward, dots: idle

`,
  );
  // All is float32. Messages: 4 rows x 2048 positions x 576 numbers x 4 bytes = 18.0 MiB. The tied gradient: half of
  // 49152 x 576 x 4 bytes on each of two shards. The first stage's 92,033,280 parameters once, of which the other rank has
  // half; their gradients once, after the last of four microbatches, and until then whole, in 92,033,280 x 4 bytes.
  for (const line of [
    /^ {2}pp 0 +\d+\.\d GiB {2}\(weights, gradients, moments 0\.7 GiB; activations \d\.\d GiB\)$/m,
    /^ {2}pp 1 +\d+\.\d GiB {2}\(weights, gradients, moments 0\.5 GiB; activations \d\.\d GiB\)$/m,
    /^ {2}stages +18\.0 MiB {2}4 activations and gradients of \[2048, 576\] at each border$/m,
    /^ {2}tied embedding +54\.0 MiB {2}its gradient, between first and last stage$/m,
    /^ {2}all-gather +175\.5 MiB {2}parameters, once$/m,
    /^ {2}reduce-scatter +175\.5 MiB {2}gradients, once$/m,
    /^ {2}of it at most 0\.3 GiB of gradients, whole until the last pass reduces them; with parallelism\.fsdp_reduce_gradients every_pass none wait/m,
  ])
    assert.match(stdout, line);
  const every = await plan("parallelism.fsdp_reduce_gradients=every_pass");
  assert.match(every.stdout, /^ {2}reduce-scatter +702\.2 MiB {2}gradients, 4 times$/m);
  assert.doesNotMatch(every.stdout, /whole until the last pass/);
});

test("every schedule has its picture; one process has no pipeline", async () => {
  for (const [name, text] of [
    ["GPipe", "rank 1  .  0  1  2  3  0'    1'    2'    3'"],
    ["Interleaved1F1B", "letters: a rank's second stage"],
    ["ZBVZeroBubble", `3': backward of its inputs, 3": of its weights`],
  ] as const) {
    const { code, stdout } = await plan(`parallelism.pipeline_parallel_schedule=${name}`);
    assert.equal(code, 0);
    assert.ok(stdout.includes(`schedule       ${name}: 4 microbatches`), stdout);
    assert.ok(stdout.includes(text), stdout);
  }
  const { stdout } = await plan("processes.procs=1", "parallelism.pipeline_parallel_degree=1");
  assert.match(stdout, /^mesh {11}1 process$/m);
  assert.match(stdout, /^ {2}every rank +\d/m);
  assert.match(stdout, /^communication {2}none$/m);
  assert.ok(!stdout.includes("schedule"));
});

test("a model with fewer layers than stages is refused", async () => {
  const { code, stderr } = await plan(
    "processes.procs=16",
    "parallelism.pipeline_parallel_degree=16",
    "parallelism.pipeline_parallel_schedule=Interleaved1F1B",
  );
  assert.equal(code, 2);
  assert.match(
    stderr,
    /parallelism\.pipeline_parallel_degree \(16\) x 2 stages a rank = 32 stages, and the model has 30 layers/,
  );
});

test("the plan of cut sequences: activations and messages of a rank's part, parameters sharded over it", async () => {
  const cut = ["parallelism.pipeline_parallel_degree=1", "parallelism.context_parallel_degree=4"];
  const { code, stdout, stderr } = await plan(...cut);
  assert.equal(code, 0, stderr);
  // Keys and values of a rank: 30 layers x 2 x 3 heads x 64 x 4 rows x 512 positions x 4 bytes = 90 MiB, sent to three
  // others; as much for their gradients. Of 134,515,008 float32 parameters the others have three quarters; backward gathers
  // those of 29 layers of 3,540,096 again.
  for (const line of [
    /^mesh {11}4 processes: cp 4 \(the last one fastest\)$/m,
    /^ {2}every rank .*\(weights, gradients, moments 0\.5 GiB; activations \d\.\d GiB\)$/m,
    /^ {2}context +540\.0 MiB {2}keys, values and their gradients in 30 layers \(allgather\)$/m,
    /^ {2}all-gather +678\.6 MiB {2}parameters, forward and of layers backward, 1 time$/m,
    /^ {2}reduce-scatter +384\.9 MiB {2}gradients, 1 time$/m,
  ])
    assert.match(stdout, line);
  // A ring sends keys and values in backward, too, and gradients one hop more: (3 + 3 + 4) x 90 MiB.
  const ring = await plan(...cut, "parallelism.context_parallel_rotate_method=alltoall");
  assert.match(ring.stdout, /^ {2}context +900\.0 MiB .*\(alltoall\)$/m);
  const whole = await plan("processes.procs=1", "parallelism.pipeline_parallel_degree=1");
  const activations = (text: string) => Number(/activations (\d+\.\d) GiB/.exec(text)![1]);
  assert.ok(activations(stdout) < 0.35 * activations(whole.stdout), stdout + whole.stdout);
  assert.ok(activations(ring.stdout) <= activations(stdout), ring.stdout);
});

test("the plan of divided matrices: what is gathered and added up, and the parts of parameters and messages", async () => {
  const { code, stdout, stderr } = await plan(
    "processes.procs=12",
    "parallelism.tensor_parallel_degree=3",
    "training.seq_len=1536",
    "activation_checkpoint.mode=full",
  );
  assert.equal(code, 0, stderr);
  // A rank's third of an activation of 4 rows is 4.5 MiB, and it sends two of three: 12 times in each of 18 layers, twice for the
  // embedding. Messages are thirds, too.
  for (const line of [
    /^ {2}stages +4\.5 MiB {2}4 activations and gradients of \[512, 576\] at each border$/m,
    /^ {2}tensor +1\.9 GiB {2}activations of \[1536, 576\] a row, gathered or added up 218 times$/m,
    /^ {2}tied embedding +18\.0 MiB /m,
    /^ {2}loss +0\.1 MiB {2}three numbers a row$/m,
  ])
    assert.match(stdout, line);
});

test("the plan of divided experts", async () => {
  const name = join(folder, "experts");
  mkdirSync(name);
  const json = flavorJson("qwen3_moe", "30B-A3B");
  writeFileSync(join(name, "config.json"), JSON.stringify(json));
  const changes = [
    `model.hf_assets_path=${name}`,
    "processes.procs=16",
    "parallelism.pipeline_parallel_degree=1",
    "parallelism.expert_parallel_degree=8",
    "training.local_batch_size=1",
  ];
  const { code, stdout, stderr } = await plan(...changes);
  assert.equal(code, 0, stderr);
  assert.ok(
    stdout.startsWith(
      `model          30,532,122,624 parameters, 48 layers
experts        128 in each of 48 layers, 8 for a token, which meets 3,353,032,704 parameters; 16 on each of 8 shard ranks
mesh           16 processes: dp_shard 16 (the last one fastest)
`,
    ),
    stdout,
  );
  // 2048 x 8 pairs of 2048 float32 numbers, 7 of 8 to others, 4 times in 48 layers: 128 MiB x 7 / 8 x 192.
  assert.match(stdout, /all-to-all +21\.0 GiB {2}tokens to experts and back in 48 layers, 192 times in all/);
  // (1.54e9 x 15 / 16 + 28.99e9 / 8 x 1 / 2) x 4 bytes: what isn't experts to 15 others, experts to 1; then again the layers
  // but the last: (0.90e9 x 15 / 16 + 28.39e9 / 16) x 4.
  assert.match(stdout, /all-gather +21\.9 GiB/);
  // Tensor ranks have other experts each, and send their half of the sequence.
  const whole = await plan(...changes, "parallelism.tensor_parallel_degree=2");
  assert.match(whole.stdout, /; 16 on each of 8 shard and tensor ranks\n/);
  assert.match(whole.stdout, /all-to-all +10\.5 GiB/);
  const refused = await plan(...changes, "parallelism.expert_parallel_degree=5", "processes.procs=5");
  assert.equal(refused.code, 2);
  assert.match(
    refused.stderr,
    /expert_parallel_degree \(5\) must divide the model's experts \(128\): 128 \/ 5/,
  );
});
