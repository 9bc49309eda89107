// Which attention kernel each shape gets on the GPUs of this machine, as runs measured it (src/nn/cuda-attention.ts).
import { readMeasured } from "../../util/index.ts";
import type { Finding } from "./finding.ts";

interface Measured {
  readonly kernel: "flash" | "cudnn";
  readonly flash_ms: number;
  readonly cudnn_ms?: number;
  readonly error?: string;
}

/** Nothing where no run has measured yet. */
export function attention(): Finding[] {
  const measured = Object.entries(readMeasured<Measured>("attention"));
  if (measured.length === 0) return [];
  const line = ([shape, { kernel, flash_ms, cudnn_ms, error }]: [string, Measured]): string => {
    const name = kernel === "cudnn" ? "cuDNN" : "FlashAttention";
    const other = cudnn_ms === undefined ? `cuDNN: ${error ?? "not tried"}` : `cuDNN ${cudnn_ms.toFixed(2)}`;
    return `${name} for ${shape} (ms: FlashAttention ${flash_ms.toFixed(2)}, ${other})`;
  };
  return [
    {
      name: "attention",
      status: "ok",
      text: measured.map(line).join("; "),
      data: { measured: Object.fromEntries(measured) },
    },
  ];
}
