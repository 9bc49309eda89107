// Formats an analysis as text.
import type { AbsentRank, Analysis, CallGroup, Finding } from "./analyze.ts";
import type { Call } from "./dumps.ts";

const ranksText = (ranks: readonly number[]): string =>
  `rank${ranks.length === 1 ? "" : "s"} ${[...ranks].sort((a, b) => a - b).join(", ")}`;
const shapesText = (shapes: Call["inputs"]): string =>
  shapes.length > 4
    ? `${shapes.length} tensors`
    : shapes.map((shape) => `[${shape.join(", ")}]`).join(" ") || "nothing";

/** For example `allReduce (sum) of float32 [10]`. */
export function callText({ operation, op, peer, kind, tag, dtype, inputs, outputs }: Call): string {
  const [from, to] = [shapesText(inputs), shapesText(outputs)];
  const shapes = kind === "message" || from === to ? (inputs.length > 0 ? from : to) : `${from} into ${to}`;
  return [
    operation,
    op === undefined ? "" : ` (${op})`,
    kind === "message" ? ` ${operation === "send" ? "to" : "from"} rank ${peer}, tag ${tag}` : "",
    kind === "collective" && peer !== undefined ? `, root rank ${peer}` : "",
    dtype === undefined ? "" : `, ${dtype} ${shapes}`,
  ].join("");
}

const stateText = { enqueued: "not ended", waiting: "waiting", completed: "ended", failed: "failed" };

function callsLine({ ranks, call }: CallGroup): string {
  const site = call.site === undefined ? "" : ` at ${call.site}`;
  return `${ranksText(ranks)}: ${callText(call)}, ${stateText[call.state]}${site}`;
}

function absentLine({ rank, hasDump, last, waitsIn, known }: AbsentRank): string {
  const name = `rank ${rank}: not called`;
  if (!hasDump) {
    const life = known === undefined ? "" : known.alive ? "; it was alive" : "; it showed no sign of life";
    const lastReport =
      known?.operation === undefined
        ? ""
        : `; the last that it told was ${known.operation} #${known.sequence}, ${known.state}`;
    return `rank ${rank}: wrote nothing down: it was killed, it crashed, or it can't be reached${life}${lastReport}`;
  }
  const before =
    last === undefined
      ? "it has made no call of this group"
      : `its last one of the group is ${callText(last)}, #${last.sequence}, ${stateText[last.state]}${last.site === undefined ? "" : ` at ${last.site}`}`;
  const instead =
    waitsIn === undefined
      ? "it waits in no call: see its log, and what the program does after that place"
      : `it waits in ${callText(waitsIn)}, ${waitsIn.kind === "message" ? "message" : ""}#${waitsIn.number ?? waitsIn.sequence} of group "${waitsIn.group}"`;
  return `${name}; ${before}; ${instead}`;
}

function findingLines(finding: Finding): string[] {
  const { kind, group, sequence, calls, absent, differs = [], suspects, why } = finding;
  if (kind === "error") return [`${ranksText(suspects)} ended with an error: ${why}`];
  const isMessage = calls[0]!.call.kind === "message";
  const location = `${isMessage ? `message ${sequence}` : `#${sequence}`} of group "${group}"`;
  const title = {
    mismatch: `ranks make different calls (${differs.join(", ")})`,
    missing: `not all ranks make the call ${calls[0]!.call.operation}`,
    stalled: `all ranks make the call ${calls[0]!.call.operation}, and it doesn't end: a slow rank or the network`,
  }[kind];
  return [
    `${location}: ${title}`,
    ...calls.map((one) => `  ${callsLine(one)}`),
    ...absent.map((one) => `  ${absentLine(one)}`),
    ...(why === undefined ? [] : [`  ${ranksText(suspects)} ${why}`]),
  ];
}

export function analysisLines(folder: string, analysis: Analysis): string[] {
  const { worldSize, ranks, findings, suspects } = analysis;
  const lines = [`${folder}: the last calls of ${ranks.length} of ${worldSize} ranks`, ""];
  for (const finding of findings) lines.push(...findingLines(finding), "");
  if (findings.length === 0)
    lines.push("The calls of all ranks agree, and none is open: nothing differs.", "");
  if (suspects.length > 0) lines.push(`Look first at ${ranksText(suspects.slice(0, 1))}.`);
  if (suspects.length > 1) lines.push(`Then at ${ranksText(suspects.slice(1))}.`);
  return lines;
}
