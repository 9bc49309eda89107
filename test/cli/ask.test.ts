// `forge generate`, `forge eval` and `forge quickstart` with a tiny model.
import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";

import { childrenOf, forge, forgeCommand, makePlace, start, startProgram } from "./forge.ts";

const place = makePlace();
after(() => rmSync(place.folder, { recursive: true, force: true }));

void suite("asking a model", { timeout: 300_000 }, () => {
  void test("forge chat: turns from a file, each with what was said before; /reset, a system prompt, JSON", async () => {
    const prompts = join(place.folder, "prompts.txt");
    const chat = (text: string, ...options: string[]) => {
      writeFileSync(prompts, text);
      return forge(["chat", place.model, "--prompts", prompts, "--max-new-tokens", "8", ...options]);
    };
    interface Answer {
      prompt: string;
      answer: string;
      promptTokens: number;
    }
    const answersOf = ({ code, stdout, stderr }: Awaited<ReturnType<typeof chat>>): Answer[] => {
      assert.equal(code, 0, stderr);
      return stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Answer);
    };
    const text = "Hello\n\nAnd more?\n/reset\nHello\n/history\n";
    const told = await chat(text, "--json");
    const [first, second, anew] = answersOf(told);
    assert.deepEqual([first!.prompt, second!.prompt, anew!.prompt], ["Hello", "And more?", "Hello"]);
    assert.ok(second!.promptTokens > first!.promptTokens, "the conversation so far is asked, too");
    assert.deepEqual([anew!.answer, anew!.promptTokens], [first!.answer, first!.promptTokens]);
    assert.match(told.stderr, /^begun anew\nuser: Hello\nassistant: /m);
    const separate = answersOf(await chat("Hello\nHello\n", "--json", "--separate"));
    assert.equal(separate[1]!.promptTokens, first!.promptTokens);
    const [brief] = answersOf(await chat("Hello\n", "--json", "--system", "You are brief."));
    assert.ok(brief!.promptTokens > first!.promptTokens);
    const plain = await chat("Hello\n");
    assert.equal(plain.stdout, `${first!.answer}\n`);

    const chatting = [...forgeCommand, "chat", place.model, "--prompts", "-", "--max-new-tokens", "8"];
    const piped = startProgram(["sh", "-c", 'echo Hello | "$@"', "sh", ...chatting]);
    assert.equal((await piped.ended).stdout, plain.stdout, "prompts of a pipe");

    const missing = await forge(["chat", place.model, "--prompts", "nowhere.txt"]);
    assert.equal(missing.code, 2);
    assert.match(
      missing.stderr,
      /^error: --prompts: expected a file of prompts, a line each, found none at nowhere\.txt\n$/,
    );
    const folder = await forge(["chat", place.model, "--prompts", place.folder]);
    assert.equal(folder.code, 2);
    assert.match(
      folder.stderr,
      /^error: --prompts: expected a file of prompts, a line each, found a folder at /,
    );
    const template = ["--chat-template", "{{ messages[0].content }}"];
    const [bare] = answersOf(await chat("Hello\n", "--json", ...template));
    assert.ok(bare!.promptTokens < first!.promptTokens, "the template that was given");
  });

  void test("forge generate streams the answer alone to standard output", async () => {
    const run = start(["generate", "--model", place.model, "--prompt", "Hello", "--max-new-tokens", "300"]);
    let pieces = 0;
    run.child.stdout!.on("data", () => pieces++);
    const { code, stdout, stderr } = await run.ended;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /^\d+ tokens in \d+\.\d s\n$/);
    assert.ok(stdout.endsWith("\n") && stdout.length > 10);
    assert.ok(pieces > 3, `${pieces} pieces`);
    const again = await forge([
      ..."generate --prompt Hello --max-new-tokens 300 --model".split(" "),
      place.model,
    ]);
    assert.equal(again.stdout, stdout);
    const random = (seed: string) =>
      forge([
        ..."generate --prompt Hello --max-new-tokens 40 --temperature 1.5 --top-p 0.9 --top-k 50 --seed".split(
          " ",
        ),
        seed,
        "--model",
        place.model,
      ]);
    const [one, same, other] = [await random("1"), await random("1"), await random("2")];
    assert.equal(one.code, 0, one.stderr);
    assert.equal(one.stdout, same.stdout);
    assert.notEqual(one.stdout, other.stdout);
  });

  void test("what changes nothing, and what is too long, is said", async () => {
    const args = ["generate", "--model", place.model, "--prompt", "x", "--max-new-tokens"];
    const { stderr } = await forge([...args, "100000", "--top-p", "0.9"], { timeoutMs: 20_000 });
    assert.match(
      stderr,
      /^note: at --temperature 0 the likeliest token is always taken: --top-p, --top-k and --seed change/m,
    );
    assert.match(
      stderr,
      /^the prompt's \d+ tokens and an answer of up to 100000 are more than the \d+ positions/m,
    );
  });

  void test("Ctrl-C ends an answer at once", async () => {
    const run = start(["generate", "--model", place.model, "--prompt", "x", "--max-new-tokens", "100000"]);
    await new Promise<void>((resolve) => run.child.stdout!.once("data", () => resolve()));
    run.child.kill("SIGINT");
    const { code } = await run.ended;
    assert.equal(code, 130);
  });

  void test("forge eval gives loss and perplexity, as text and as JSON", async () => {
    const args = ["eval", "--model", place.model, "--data", place.rows, "--seq-len", "128"];
    const found = await forge([...args, "--json"]);
    assert.equal(found.code, 0, found.stderr);
    const { loss, perplexity, tokens } = JSON.parse(found.stdout) as Record<string, number>;
    // Random weights know nothing: close to the logarithm of the vocabulary's size.
    assert.ok(Math.abs(loss! - Math.log(1536)) < 0.5, `loss ${loss}`);
    assert.ok(Math.abs(perplexity! - Math.exp(loss!)) < 1e-6);
    assert.ok(tokens! > 300);
    const bad = join(place.folder, "bad.jsonl");
    writeFileSync(bad, `${readFileSync(place.rows, "utf8")}{not JSON\n`);
    const skipped = await forge([...args.with(4, bad), "--on-bad-row", "skip", "--json"]);
    assert.deepEqual(JSON.parse(skipped.stdout), JSON.parse(found.stdout));
    const text = await forge([...args, "--batch-size", "3"]);
    assert.equal(
      text.stdout,
      `loss ${loss!.toFixed(4)}  perplexity ${perplexity!.toFixed(2)}  over ${tokens} tokens\n`,
    );
  });

  void test("what is missing is said in a line", async () => {
    for (const [args, code, message] of [
      [["generate", "--model", "./nowhere", "--prompt", "x"], 2, /^error: --model: .*nowhere/],
      [["generate", "--model", place.model], 2, /required option '--prompt <text>'/],
      [
        ["generate", "--model", place.model, "--prompt", "x", "--top-p", "2"],
        2,
        /expected a number from 0 to 1/,
      ],
      [["eval", "--model", place.model, "--data", "nowhere.jsonl"], 2, /^error: .*nowhere\.jsonl/],
    ] as const) {
      const found = await forge(args);
      assert.match(found.stderr, message);
      assert.equal(found.code, code, found.stderr);
      assert.ok(!found.stderr.includes("\n    at "));
    }
  });

  void test("forge quickstart: the whole screen", async () => {
    const outputs = join(place.folder, "quick");
    const { code, stdout, stderr } = await forge([
      ..."quickstart --steps 2 --questions 2 --model".split(" "),
      place.model,
      "--output-dir",
      outputs,
    ]);
    assert.equal(code, 0, stderr);
    for (const line of [
      /^model .* parameters/m,
      /^data .*train\.jsonl \(instruction\): 1500 rows/m,
      /^before training: held-out loss \d+\.\d{3}, exactly right 0 %\n {2}ask .*\n {2}answer/m,
      /^Step 2\/2 \| Loss: \d/m,
      /^after training: held-out loss \d+\.\d{3}, exactly right 0 %$/m,
      /^finished after .*: held-out loss \d+\.\d{3} → \d+\.\d{3}, exactly right 0 % → 0 %$/m,
      /^model +.*step-2 \(Transformers, vLLM and llama\.cpp load it as it is\)$/m,
      /^ {2}npx torchforge generate --model .*step-2 --prompt /m,
      /^ {2}npx torchforge plot /m,
    ])
      assert.match(stdout, line);
    assert.equal(stdout.split("Evaluation after step 2").length, 2, "one evaluation after the last step");
    assert.ok(!stdout.includes("\u001b"));
    const own = /^ {2}npx torchforge (sft .*)$/m.exec(stdout)![1]!.replace("YOUR_ROWS.jsonl", place.rows);
    const further = await forge([...own.split(" "), "--dry-run"]);
    assert.equal(further.code, 0, further.stderr);
    const shown = /^ {2}npx torchforge (generate --model \S+)/m.exec(stdout)![1]!.split(" ");
    const answer = await forge([...shown, "--prompt", "x", "--max-new-tokens", "5"]);
    assert.equal(answer.code, 0, answer.stderr);
  });

  void test("forge quickstart: one Ctrl-C before the training ends it without asking the model", async () => {
    const outputs = join(place.folder, "stopped");
    const args = ["quickstart", "--model", place.model, "--output-dir", outputs];
    const run = start(args);
    await run.shows(/^starts from the weights/m);
    // Held still until the wish to stop has been sent, so that it can't be through with its questions before.
    const [worker] = childrenOf(run.child.pid!);
    process.kill(worker!, "SIGSTOP");
    run.child.kill("SIGINT");
    await run.shows(/stopping after this step/);
    process.kill(worker!, "SIGCONT");
    const { code, stdout, stderr } = await run.ended;
    assert.equal(code, 130, stderr);
    assert.match(stdout, /^stopped before training: nothing was saved$/m);
    assert.doesNotMatch(stdout, /held-out loss|Step 1/);
    const [folder] = readdirSync(outputs);
    const info = JSON.parse(readFileSync(join(outputs, folder!, "run.json"), "utf8")) as { status: string };
    assert.equal(info.status, "interrupted");
  });

  void test("forge quickstart: one Ctrl-C while it trains saves, and asks no more", async () => {
    const outputs = join(place.folder, "halfway");
    const run = start([
      ..."quickstart --questions 1 --steps 100000 --output-dir".split(" "),
      outputs,
      "--model",
      place.model,
    ]);
    await run.shows(/^Step 1\//m);
    run.child.kill("SIGINT");
    const { code, stdout, stderr } = await run.ended;
    assert.equal(code, 130, stderr);
    assert.match(stdout, /^before training: /m);
    assert.doesNotMatch(stdout, /^after training: /m);
    assert.match(stdout, /^stopped after .*: the model was not asked again$/m);
    assert.match(stdout, /^model +.*step-\d+ /m);
  });
});
