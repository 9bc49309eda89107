// Which type each tensor of a GGUF file has: llama.cpp's mixtures (llama-quant.cpp, without an importance matrix), so that files of a
// name have the sizes and the quality that people know.
import { ggmlTypes, layerOfGgufName, type GgmlTypeName } from "../../gguf/index.ts";

/** Types of files, and how their metadata call them (`general.file_type`). */
export const fileTypes = {
  F32: { id: 0, base: "F32" },
  F16: { id: 1, base: "F16" },
  BF16: { id: 32, base: "BF16" },
  Q8_0: { id: 7, base: "Q8_0" },
  Q6_K: { id: 18, base: "Q6_K" },
  Q5_K_M: { id: 17, base: "Q5_K" },
  Q4_K_M: { id: 15, base: "Q4_K" },
  Q4_0: { id: 2, base: "Q4_0" },
} as const satisfies Readonly<Record<string, { readonly id: number; readonly base: GgmlTypeName }>>;

export type GgufFileType = keyof typeof fileTypes;

/** What of a model the mixtures look at. */
export interface MixtureOf {
  readonly numLayers: number;
  /** 1 without experts. */
  readonly numExperts: number;
  readonly isGrouped: boolean;
  readonly isTied: boolean;
}

/** Types of a block's size, for rows that a super-block of 256 doesn't divide. */
const smaller: Partial<Record<GgmlTypeName, GgmlTypeName>> = { Q4_K: "Q5_0", Q5_K: "Q5_1", Q6_K: "Q8_0" };

/** The type of one tensor. Norms, biases, routers and factors are always float32. */
export function tensorType(
  fileType: GgufFileType,
  name: string,
  shape: readonly number[],
  model: MixtureOf,
): GgmlTypeName {
  const { base } = fileTypes[fileType];
  if (shape.length < 2 || name.includes("_norm.") || name.includes("ffn_gate_inp.")) return "F32";
  if (base === "F32" || base === "F16" || base === "BF16") return base;
  const wanted = mixed(fileType, name, shape, model);
  if (divides(wanted, shape)) return wanted;
  const instead = smaller[wanted];
  return instead !== undefined && divides(instead, shape) ? instead : "F16";
}

function divides(type: GgmlTypeName, shape: readonly number[]): boolean {
  return shape.at(-1)! % ggmlTypes.find(({ name }) => name === type)!.blockElements === 0;
}

function mixed(
  fileType: GgufFileType,
  name: string,
  shape: readonly number[],
  { numLayers, numExperts, isGrouped, isTied }: MixtureOf,
): GgmlTypeName {
  const { base } = fileTypes[fileType];
  if (name === "output.weight" || (isTied && name === "token_embd.weight"))
    return base === "Q8_0" || !divides(base, shape) ? "Q8_0" : "Q6_K";
  const isMedium = fileType === "Q4_K_M" || fileType === "Q5_K_M";
  const layer = layerOfGgufName(name) ?? 0;
  if (name.includes("attn_v.")) {
    if (numExperts === 8) return "Q8_0";
    if (isMedium && hasMoreBits(layer, numLayers)) return "Q6_K";
    // Where eight heads share one value, its matrix is small and worth more bits.
    return base === "Q4_K" && numLayers === 80 && isGrouped ? "Q5_K" : base;
  }
  if (name.includes("attn_k.")) return numExperts === 8 ? "Q8_0" : base;
  if (name.includes("ffn_down")) return isMedium && hasMoreBits(layer, numLayers) ? "Q6_K" : base;
  if (name.includes("attn_output.")) return numExperts === 8 && fileType === "Q4_K_M" ? "Q5_K" : base;
  return base;
}

/** The first and the last eighth of the layers, and every third between. */
function hasMoreBits(layer: number, numLayers: number): boolean {
  const eighth = Math.floor(numLayers / 8);
  return layer < eighth || layer >= Math.floor((7 * numLayers) / 8) || (layer - eighth) % 3 === 2;
}
