import assert from "node:assert/strict";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";

import pc from "picocolors";

import { barLine, ConsoleReporter } from "./console-reporter.ts";
import { evalRecord, stepRecord } from "./testing.ts";

function recorder(isTTY: boolean, columns = 100) {
  const written: string[] = [];
  return { isTTY, columns, written, write: (text: string) => written.push(text) };
}

const plain = pc.createColors(false);

test("without a terminal: plain lines, no control characters", () => {
  const output = recorder(false);
  const reporter = new ConsoleReporter({ output, everyNSteps: 50 });
  for (let step = 1; step <= 100; step++) reporter.write(stepRecord(step));
  reporter.write(evalRecord(100, 1));
  reporter.close();
  const text = output.written.join("");
  assert.equal(text, stripVTControlCharacters(text));
  assert.deepEqual(
    text.split("\n").map((line) => line.split(" | ")[0]),
    ["Step 1/100", "Step 50/100", "Step 100/100", "Evaluation after step 100", ""],
  );
});

test("a terminal that doesn't know its width has the line all the same", () => {
  const output = recorder(true, 0);
  const reporter = new ConsoleReporter({ output, color: false });
  reporter.write(stepRecord(1));
  reporter.close();
  assert.match(output.written.join(""), /loss \d/);
});

test("in a terminal: one line redrawn in place, at most ten times a second, and left there at the end", () => {
  const output = recorder(true);
  let now = 0;
  const reporter = new ConsoleReporter({ output, color: false, now: () => now });
  for (let step = 1; step <= 100; step++) {
    now += 10;
    reporter.write(stepRecord(step));
  }
  reporter.close();
  const draws = output.written.filter((text) => text.startsWith("\r\u001B[2K"));
  assert.ok(draws.length >= 10 && draws.length <= 13, String(draws.length));
  assert.equal(output.written.at(-1), "\n");
  assert.match(draws.at(-1)!, /100% █+ 100\/100 \| loss 0\.0300 \| .* \| done$/);
});

test("lines stay above the bar, which is drawn again", () => {
  const output = recorder(true);
  const reporter = new ConsoleReporter({ output, color: false, now: () => 1000 });
  reporter.write(stepRecord(1));
  output.written.length = 0;
  reporter.write(evalRecord(1, 2));
  assert.equal(output.written[0], "\r\u001B[2K");
  assert.match(output.written[1]!, /^Evaluation after step 1 \| Loss: 2\.0000.*\n$/);
  assert.ok(output.written[2]!.startsWith("\r\u001B[2K  1% "));
});

test("the bar fits into any width; what matters most is dropped last", () => {
  for (let columns = 10; columns <= 200; columns++) {
    const line = barLine(stepRecord(42, { loss: 12.345_67, seconds_left: 7625 }), columns, plain);
    assert.ok(line.length < columns, `${columns}: ${line}`);
    if (columns >= 40) assert.match(line, /^ 42% .*loss 12\.3457/, String(columns));
  }
  assert.match(
    barLine(stepRecord(42), 120, plain),
    /^ 42% █+░+ {2}42\/100 \| loss 0\.0714 \| lr 1\.0e-5 \| grad norm 1\.25 \| 400 tokens\/s \| 1 min 14 s left$/,
  );
});

test("NO_COLOR turns colors off, and only colors", (t) => {
  const before = process.env["NO_COLOR"];
  t.after(() => {
    if (before === undefined) delete process.env["NO_COLOR"];
    else process.env["NO_COLOR"] = before;
  });
  const draw = () => {
    const output = recorder(true);
    new ConsoleReporter({ output, now: () => 1000 }).write(stepRecord(50));
    return output.written.join("");
  };
  const green = "\u001B[32m";
  process.env["NO_COLOR"] = "1";
  assert.ok(!draw().includes(green));
  assert.ok(draw().includes("█"));
  delete process.env["NO_COLOR"];
  assert.ok(draw().includes(green));
});
