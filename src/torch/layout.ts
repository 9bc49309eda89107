// Memory layouts and formats. The positions in the lists are libtorch's codes.

/** c10::MemoryFormat */
export const memoryFormats = ["contiguous", "preserve", "channels_last", "channels_last_3d"] as const;
export type MemoryFormat = (typeof memoryFormats)[number];

/** c10::Layout */
export const layouts = [
  "strided",
  "sparse",
  "sparse_csr",
  "mkldnn",
  "sparse_csc",
  "sparse_bsr",
  "sparse_bsc",
  "jagged",
] as const;
export type Layout = (typeof layouts)[number];
