// Reads a GGUF file back into a model in memory, dequantized, and compares each weight with what was there.
import {
  architectureOf,
  decodedPieces,
  huggingFaceName,
  openGguf,
  permutedHeads,
  type GgmlTypeName,
} from "../../gguf/index.ts";
import type { Decoder } from "../../models/index.ts";
import { fromTypedArray, noGrad, scope } from "../../torch/index.ts";
import { UserError } from "../../util/index.ts";

/**
 * How far a weight may be from what it was quantized from: the norm of the difference by the weight's. About twice what rounding
 * costs a block with one outlier; a block in a wrong place is off by more than 1.
 */
const tolerances: Record<GgmlTypeName, number> = {
  F32: 0,
  F16: 1e-3,
  BF16: 4e-3,
  Q8_0: 0.02,
  Q6_K: 0.06,
  Q5_0: 0.12,
  Q5_1: 0.12,
  Q5_K: 0.12,
  Q4_0: 0.25,
  Q4_1: 0.25,
  Q4_K: 0.25,
  Q3_K: 0.5,
  Q2_K: 0.8,
};

/**
 * Fills the model's parameters from the file.
 * @param tied parameters that share another one's memory, which the file needs not have
 * @throws UserError for a weight that is not the quantized one of the model, or isn't there
 */
export function fillFromGguf(path: string, model: Decoder, tied: ReadonlyMap<string, string>): void {
  using file = openGguf(path);
  const arch = architectureOf(file);
  const missing = new Set([...model.parameters.keys()].filter((name) => !tied.has(name)));
  for (const tensor of file.tensors) {
    const name = huggingFaceName(arch, path, tensor.name);
    if (name === undefined) continue;
    const target = model.parameters.get(name);
    if (target === undefined) throw new Error(`${path}: ${name} is no parameter of the model`);
    missing.delete(name);
    const flat = noGrad(() => target.detach().view([-1]));
    let at = 0;
    let [difference, norm] = [0, 0];
    for (const piece of decodedPieces(file, tensor, permutedHeads(arch, tensor))) {
      using _ = scope();
      noGrad(() => {
        const own = flat.narrow(0, at, piece.length);
        const found = fromTypedArray(piece, undefined, { copy: false });
        difference += own.sub(found).square().sum().item();
        norm += own.square().sum().item();
        own.copy_(found);
      });
      at += piece.length;
    }
    const off = Math.sqrt(difference / (norm === 0 ? 1 : norm));
    // Not a number where weights aren't.
    if (!(off <= tolerances[tensor.type]))
      throw new UserError(
        `${path}: ${tensor.name} isn't the model's ${name} in ${tensor.type}: they differ by ${(100 * off).toFixed(1)} %, expected at most ${100 * tolerances[tensor.type]} %. Don't use this file, and please report it.`,
      );
  }
  if (missing.size > 0) throw new UserError(`${path}: lacks the model's ${[...missing].join(", ")}`);
}
