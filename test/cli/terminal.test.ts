// The progress bar as a person sees it: `forge sft` on a pseudo-terminal.
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { stripVTControlCharacters } from "node:util";

import { environment, root, run } from "../programs.ts";
import { makePlace } from "./forge.ts";

const place = makePlace();
after(() => rmSync(place.folder, { recursive: true, force: true }));

const escape = "\u001B[";

/** What the command writes on a terminal of so many columns. */
function onTerminal(columns: number, env: NodeJS.ProcessEnv): string {
  const { NO_COLOR: _, FORCE_COLOR: __, ...rest } = environment;
  const forge = [process.execPath, join(root, "src/cli/main.ts"), "sft", "--config", place.config];
  return run(
    process.env["PYTHON"] ?? "python3",
    [join(import.meta.dirname, "terminal.py"), String(columns), ...forge, "training.steps=30"],
    { env: { ...rest, TERM: "xterm-256color", ...env }, timeoutMs: 300_000 },
  );
}

/** The bar each time that it was drawn, and the lines that stay. */
function parts(text: string): { bars: string[]; lines: string[] } {
  const pieces = stripVTControlCharacters(text.replaceAll(`\r${escape}2K`, "\n")).split(/\r?\n/);
  const isBar = (piece: string): boolean => /^ *\d+% /.test(piece);
  return { bars: pieces.filter((one) => isBar(one)), lines: pieces.filter((one) => !isBar(one)) };
}

void suite("the progress bar on a terminal", { timeout: 900_000 }, () => {
  void test("one line, drawn in place: share, loss, learning rate, gradient norm, tokens/s, time left", () => {
    const text = onTerminal(140, {});
    const { bars, lines } = parts(text);
    assert.ok(bars.length >= 2, text);
    const pattern =
      /^ *(\d+)% (█*)(░*) +(\d+)\/30 \| loss \d+\.\d{4} \| lr \d\.\de[+-]\d+ \| grad norm [\d.]+ \| [\d.,kM]+ tokens\/s \| (done|.+ left)$/;
    for (const bar of bars) {
      const [, percent, full, empty, step, rest] = pattern.exec(bar) ?? assert.fail(bar);
      assert.equal(Number(percent), Math.floor((100 * Number(step)) / 30));
      assert.equal(full!.length, Math.round((full!.length + empty!.length) * (Number(step) / 30)));
      assert.equal(rest === "done", step === "30");
      assert.ok(bar.length < 140);
    }
    const steps = bars.map((bar) => Number(pattern.exec(bar)![4]));
    assert.deepEqual(
      steps,
      steps.toSorted((a, b) => a - b),
    );
    assert.equal(steps.at(-1), 30);
    assert.ok(text.includes(`${escape}32m`), "coloured");
    // The bar doesn't eat lines, and no line of a file's kind comes beside it.
    assert.ok(lines.some((line) => line.startsWith("checkpoint  ")));
    assert.ok(!lines.some((line) => line.startsWith("Step ")));
  });

  void test("NO_COLOR: the same bar without colours; a narrow terminal: it fits", () => {
    const text = onTerminal(60, { NO_COLOR: "1" });
    const { bars } = parts(text);
    assert.ok(bars.length >= 2, text);
    // oxlint-disable-next-line no-control-regex
    assert.doesNotMatch(text, /\u001B\[[\d;]*m/);
    for (const bar of bars) {
      assert.match(bar, /^ *\d+% .*\d+\/30 \| loss \d+\.\d{4}/);
      assert.ok(bar.length < 60, bar);
    }
  });

  void test("a terminal that can't redraw has lines", () => {
    const text = onTerminal(80, { TERM: "dumb" });
    assert.ok(!text.includes(escape), text);
    assert.match(text, /^Step 30\/30 \| Loss: \d/m);
  });
});
