// Formats of a byte a weight and a scale a row: what int8 and fp8 share.
import { cat, fused, noGrad, scope, uint8, zeros, empty } from "../torch/index.ts";
import { eachRows, type QuantizedFormat } from "./storage-format.ts";

const toFour = (n: number): number => Math.ceil(n / 4) * 4;

export function rowScale(name: "int8" | "fp8"): QuantizedFormat {
  const rowBytes = (inputs: number): number => toFour(inputs) + 4;
  return {
    name,
    dtype: uint8,
    columnBlock: 1,
    storedShape: ([outputs, inputs]) => [outputs!, rowBytes(inputs!)],
    bytes: ([outputs, inputs]) => outputs! * rowBytes(inputs!),
    encode(read, [, inputs], own) {
      using s = scope();
      const rows = empty([own.length, rowBytes(inputs)], { dtype: uint8 });
      noGrad(() =>
        eachRows(own, inputs, (start, count) => {
          using _ = scope();
          rows.narrow(0, start - own.start, count).copy_(fused.quantizeByRow(read(start, count), name));
        }),
      );
      return s.keep(rows);
    },
    columnsOf(rows, inputs, { start, length }) {
      using s = scope();
      const padding = zeros([rows.size(0), toFour(length) - length], { dtype: uint8 });
      return s.keep(cat([rows.narrow(1, start, length), padding, rows.narrow(1, toFour(inputs), 4)], 1));
    },
  };
}
