// What GPUs do and move in a second, for forecasts. Peaks are the vendors', of dense products; what is reached of them is what
// large products and FlashAttention 2 take on an H200 (torch 2.11), of which nothing better is known for the others.
import { UserError } from "../../util/index.ts";

export interface Card {
  readonly name: string;
  /** 10^12 operations a second, dense. */
  readonly bfloat16: number;
  readonly float32: number;
  /** 10^9 bytes a second of its memory. */
  readonly memory: number;
  readonly source: string;
}

export const cards: readonly Card[] = [
  {
    name: "a100",
    bfloat16: 312,
    float32: 19.5,
    memory: 2039,
    source: "NVIDIA A100 80GB SXM data sheet, 2021",
  },
  { name: "h100", bfloat16: 989, float32: 67, memory: 3350, source: "NVIDIA H100 SXM data sheet, 2023" },
  { name: "h200", bfloat16: 989, float32: 67, memory: 4800, source: "NVIDIA H200 SXM data sheet, 2024" },
  { name: "b200", bfloat16: 2250, float32: 75, memory: 7700, source: "NVIDIA HGX B200 data sheet, 2025" },
];

/** Shares of a card's peaks that kernels reach: measured on one H200, see the file's head. */
export const reached = { products: 0.78, attention: 0.26, memory: 0.85 };

/** @throws UserError for one that isn't in the table */
export function cardOf(name: string): Card {
  const found = cards.find((card) => card.name === name.toLowerCase());
  if (found !== undefined) return found;
  throw new UserError(`--gpu: expected ${cards.map((card) => card.name).join(", ")}; found ${name}`, {
    exitCode: 2,
  });
}

/** Gigabytes that a process sends in a second: within a machine, and to others. */
export interface Links {
  readonly within: number;
  readonly between: number;
}

/** NVLink of the fourth generation one way, and InfiniBand NDR. */
export const defaultLinks = "nvlink:450,ib:50";

/** `nvlink:450,ib:50`: the first within a machine, the second between machines. @throws UserError */
export function linksOf(text: string): Links {
  const rates = text.split(",").map((one) => /^[a-z]\w*:(\d+(?:\.\d+)?)$/i.exec(one.trim())?.[1]);
  const [within, between] = rates.map(Number);
  if (rates.includes(undefined) || rates.length > 2 || rates.length < 1 || !(within! > 0) || between === 0)
    throw new UserError(
      `--links: expected a rate in 10^9 bytes a second within a machine, and one between machines, such as ${defaultLinks}; found ${text}`,
      { exitCode: 2 },
    );
  return { within: within!, between: between ?? within! };
}
