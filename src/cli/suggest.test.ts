import assert from "node:assert/strict";
import { test } from "node:test";

import { withSuggestion } from "./suggest.ts";

/** What is said of an option that commander doesn't know. */
const said = (...args: string[]): string =>
  withSuggestion(`error: unknown option '${args[0]!}'\n`, ["sft", ...args]).trimEnd();

test("a value is offered where the key takes it, quoted for a shell", () => {
  for (const [args, meant] of [
    [["--learning_rate", "1e-4"], "optimizer.lr=1e-4"],
    [["--gradient_checkpointing", "true"], "activation_checkpoint.mode=VALUE"],
    [["--gradient_checkpointing", "full"], "activation_checkpoint.mode=full"],
    [["--train_on_inputs", "false"], "training.train_on=VALUE"],
    [["--bf16", "training.steps=3"], "training.mixed_precision_param=VALUE"],
    [["--run_name", "-h"], "job.name=VALUE"],
    [["--bf16", "--dry-run"], "training.mixed_precision_param=VALUE"],
    [["--run_name=my run"], "'job.name=my run'"],
  ] as const)
    assert.equal(
      said(...args),
      `error: --${args[0].slice(2).split("=")[0]} is no option; did you mean the key ${meant}?`,
    );
  for (const [args, written] of [
    [["--job.description", "my run"], "'job.description=my run'"],
    [["--training.steps", "many"], "training.steps=VALUE"],
    [["--training.steps", "training.seq_len=8"], "training.steps=VALUE"],
    [["--training.datasets", "[{path: a.jsonl}]"], "'training.datasets=[{path: a.jsonl}]'"],
  ] as const)
    assert.equal(said(...args), `error: ${args[0]}: keys are written without dashes: ${written}`);
});

test("what other tools count otherwise is told as for keys", () => {
  for (const name of ["num-train-epochs", "epochs", "num_epochs"])
    assert.match(said(`--${name}`, "3"), /training\.epochs=3/);
  assert.equal(
    said("--gradient-accumulation-steps", "4"),
    "error: --gradient-accumulation-steps: gradient_accumulation_steps is not a key; give training.global_batch_size, from which it follows",
  );
  assert.match(said("--training.epochs=3"), /: training\.epochs=3$/);
  assert.equal(said("--frobnicate"), "error: unknown option '--frobnicate'");
});

test("export is no import", () => {
  assert.match(
    withSuggestion("error: unknown command 'export'\n(Did you mean import?)\n", ["export"]),
    /^error: there is no command export; a finished run's model is a Hugging Face folder already/,
  );
});
