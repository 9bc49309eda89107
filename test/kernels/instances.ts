// Which instances of the kernels in native/cuda/kernels there are: all that the addon can launch. Tests compile each.
export interface KernelFile {
  /** Without `.cuh`. */
  readonly file: string;
  /** `function<template arguments>`, the struct of its arguments, and the most threads of a block. */
  readonly instances: readonly (readonly [instance: string, args: string, threads: number])[];
}

const types = ["float", "bf16"];
const widths = (most: readonly string[]): string[] =>
  types.flatMap((t) => most.map((rest) => `${t}, ${rest}`));
/** Elements a load, and of those how many a thread holds. */
const rowShapes = widths(["8, 1", "8, 2", "8, 4", "1, 16"]);
const packs = widths(["8", "1"]);

const all = (name: string, args: string, threads: number, choices: readonly string[]) =>
  choices.map((one) => [`${name}<${one}>`, args, threads] as const);

export const kernelFiles: readonly KernelFile[] = [
  {
    file: "adamw",
    instances: all(
      "adamw",
      "AdamwArgs",
      256,
      types.flatMap((p) => types.flatMap((g) => types.map((m) => `${p}, ${g}, ${m}`))),
    ),
  },
  {
    file: "adamw_narrow",
    instances: all(
      "adamw_narrow",
      "NarrowArgs",
      256,
      types.flatMap((p) => types.flatMap((g) => [...types, "codes"].map((m) => `${p}, ${g}, ${m}`))),
    ),
  },
  { file: "sum_of_squares", instances: all("sum_of_squares", "SquaresArgs", 256, types) },
  {
    file: "rms_norm",
    instances: [
      ...all("rms_norm_forward", "RmsForwardArgs", 512, rowShapes),
      ...all("rms_norm_backward", "RmsBackwardArgs", 512, rowShapes),
    ],
  },
  { file: "rotary", instances: all("rotary", "RotaryArgs", 256, packs) },
  {
    file: "swiglu",
    instances: [
      ...all("swiglu_forward", "SwigluArgs", 256, packs),
      ...all("swiglu_backward", "SwigluBackwardArgs", 256, packs),
    ],
  },
  { file: "cross_entropy", instances: all("cross_entropy", "CrossEntropyArgs", 1024, packs) },
];
