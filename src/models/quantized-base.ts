// Which of a model's parameters are quantized: the matrices of its decoder layers' linear layers, as bitsandbytes with Transformers
// has it. Embedding, head, norms, routers and experts are not.
import {
  fp8Rows,
  int8Rows,
  isQuantized,
  mapParameters,
  nf4,
  parametersOf,
  type BlockSpec,
  type ParameterSpec,
  type QuantizedFormat,
} from "../nn/index.ts";
import { UserError } from "../util/index.ts";
import { moduleOf } from "./selection.ts";

export interface Quantization {
  readonly format: "nf4" | "int8" | "fp8";
  /** nf4: the blocks' magnitudes are quantized, too. */
  readonly doubleQuant: boolean;
  /** Modules that are left as they are: names or parts of names. */
  readonly skip?: readonly string[];
}

export function formatOf({ format, doubleQuant }: Quantization): QuantizedFormat {
  if (format === "nf4") return nf4(doubleQuant);
  return format === "int8" ? int8Rows : fp8Rows;
}

/** Whether it is the matrix of a linear layer in a decoder layer, and no expert's. */
export const isLinear = ({ shape, split, expert }: ParameterSpec): boolean =>
  shape.length === 2 && (split === "column" || split === "row") && expert === undefined;

/**
 * The blocks with those of these matrices quantized, and hence frozen, that `isMeant`.
 * @param key what asks for it, for messages
 * @throws UserError for a matrix that the format can't hold
 */
export function quantizedBlocks(
  blocks: readonly BlockSpec[],
  quantization: Quantization,
  key: string,
  isMeant: (spec: ParameterSpec) => boolean = () => true,
): BlockSpec[] {
  const storage = formatOf(quantization);
  const { skip = [] } = quantization;
  const isSkipped = (module: string): boolean =>
    skip.some((one) => module === one || module.endsWith(`.${one}`) || module.startsWith(`${one}.`));
  return blocks.map((block) =>
    mapParameters(block, (spec) => {
      if (!isLinear(spec) || isSkipped(moduleOf(spec.name)) || !isMeant(spec)) return spec;
      const inputs = spec.shape[1]!;
      if (inputs % storage.columnBlock !== 0)
        throw new UserError(
          `${key}: expected matrices whose inputs are a multiple of ${storage.columnBlock}, the block of ${quantization.format}, found ${inputs} inputs of ${moduleOf(spec.name)}; int8 and fp8 take any number.`,
          { exitCode: 2 },
        );
      return { ...spec, storage, trainable: false };
    }),
  );
}

/** How parameters are quantized, by their names. */
export function formatsOf(blocks: readonly BlockSpec[]): Map<string, QuantizedFormat> {
  const formats = new Map<string, QuantizedFormat>();
  for (const { name, storage } of parametersOf(blocks).values())
    if (isQuantized(storage)) formats.set(name, storage);
  return formats;
}
