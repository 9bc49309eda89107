// The supported GGML tensor types: their ids and block sizes.

export const ggmlTypes = [
  { name: "F32", id: 0, blockElements: 1, blockBytes: 4 },
  { name: "F16", id: 1, blockElements: 1, blockBytes: 2 },
  { name: "Q4_0", id: 2, blockElements: 32, blockBytes: 18 },
  { name: "Q4_1", id: 3, blockElements: 32, blockBytes: 20 },
  { name: "Q5_0", id: 6, blockElements: 32, blockBytes: 22 },
  { name: "Q5_1", id: 7, blockElements: 32, blockBytes: 24 },
  { name: "Q8_0", id: 8, blockElements: 32, blockBytes: 34 },
  { name: "Q2_K", id: 10, blockElements: 256, blockBytes: 84 },
  { name: "Q3_K", id: 11, blockElements: 256, blockBytes: 110 },
  { name: "Q4_K", id: 12, blockElements: 256, blockBytes: 144 },
  { name: "Q5_K", id: 13, blockElements: 256, blockBytes: 176 },
  { name: "Q6_K", id: 14, blockElements: 256, blockBytes: 210 },
  { name: "BF16", id: 30, blockElements: 1, blockBytes: 2 },
] as const;

export type GgmlType = (typeof ggmlTypes)[number];
export type GgmlTypeName = GgmlType["name"];

/** @throws Error for a name that isn't in the table. */
export function ggmlType(name: GgmlTypeName): GgmlType {
  return ggmlTypes.find((type) => type.name === name)!;
}
