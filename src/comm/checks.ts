// Checks of a collective's arguments, before anything is sent, so that a rank that throws here leaves no half-made call behind.
// Differences between ranks can't be seen here; initProcessGroup({verify: true}) finds those.
import { type Dtype, Tensor } from "../torch/index.ts";
import { UserError } from "../util/index.ts";
import { isSimulated, type ProcessGroup, worldGroup } from "./process-group.ts";

export type ReduceOp = "sum" | "avg" | "product" | "min" | "max";
const reduceOps: readonly string[] = ["sum", "avg", "product", "min", "max"];

/** The dtypes that Gloo and NCCL reduce; others can only be copied. */
const reducible = new Set([
  "float32",
  "float64",
  "float16",
  "bfloat16",
  "int8",
  "uint8",
  "int32",
  "int64",
  "bool",
]);

export function shapeText(tensor: Tensor): string {
  return `[${tensor.shape.join(", ")}]`;
}

/** The group, or the world group by default. @throws UserError if this process isn't a member */
export function checkGroup(call: string, group: ProcessGroup | undefined): ProcessGroup {
  const found = group ?? worldGroup();
  if (found.rank < 0) {
    throw new UserError(
      `${call}: this process (rank ${found.globalRank}) is not a member of ${found.toString()}.`,
    );
  }
  return found;
}

export function checkReduceOp(call: string, op: ReduceOp, dtype: Dtype): void {
  if (!reduceOps.includes(op)) {
    throw new UserError(`${call}: op: expected one of ${reduceOps.join(", ")}, found ${JSON.stringify(op)}.`);
  }
  if (!reducible.has(dtype.name)) {
    throw new UserError(
      `${call}: dtype ${dtype.name} can't be reduced among processes; convert the tensor to float32 first.`,
    );
  }
  if (op === "avg" && !dtype.isFloatingPoint) {
    throw new UserError(
      `${call}: op "avg" needs a floating dtype, found ${dtype.name}; use "sum" and divide.`,
    );
  }
  if (dtype.name === "bool" && op !== "min" && op !== "max") {
    throw new UserError(
      `${call}: op "${op}" is not defined for bool; "max" is a logical or, "min" a logical and.`,
    );
  }
}

/** Collectives need contiguous tensors, on the CPU or on the group's device. */
export function checkTensor(call: string, name: string, tensor: Tensor, group: ProcessGroup): void {
  if (!(tensor instanceof Tensor)) {
    throw new UserError(
      `${call}: ${name}: expected a Tensor, found ${Array.isArray(tensor) ? "an array" : typeof tensor}.`,
    );
  }
  if (!tensor.isContiguous()) {
    throw new UserError(
      `${call}: ${name} of shape ${shapeText(tensor)} is not contiguous (strides [${tensor.stride().join(", ")}]); use ${name}.contiguous().`,
    );
  }
  const { device } = tensor;
  if (device.type === "cpu" || (device.type === "meta" && isSimulated())) return;
  // NCCL's communicator belongs to one device; a tensor on another one would make it hang.
  const { deviceIndex } = group;
  const isWrongDevice = group.backend === "nccl" && deviceIndex >= 0 && device.index !== deviceIndex;
  if (device.type !== "cuda" || isWrongDevice) {
    const expected = deviceIndex >= 0 ? `cuda:${deviceIndex}, this process's device` : "a CUDA device";
    throw new UserError(`${call}: ${name} is on ${device.toString()}: expected the CPU or ${expected}.`);
  }
}

/** Input and output must have one dtype and be on one device, because one backend handles both. */
export function checkSameType(
  call: string,
  name: string,
  tensor: Tensor,
  otherName: string,
  other: Tensor,
): void {
  if (tensor.device !== other.device) {
    throw new UserError(
      `${call}: ${name} is on ${tensor.device.toString()} and ${otherName} on ${other.device.toString()}; they must be on one device.`,
    );
  }
  const [found, expected] = [tensor.dtype, other.dtype];
  if (found !== expected) {
    throw new UserError(
      `${call}: ${name} is ${found.name} and ${otherName} is ${expected.name}; they must be the same.`,
    );
  }
}

export function checkShape(
  call: string,
  name: string,
  tensor: Tensor,
  expected: readonly number[],
  why: string,
): void {
  const shape = tensor.shape;
  if (shape.length !== expected.length || shape.some((size, i) => size !== expected[i])) {
    throw new UserError(
      `${call}: ${name}: expected shape [${expected.join(", ")}] (${why}), found ${shapeText(tensor)}.`,
    );
  }
}

export function checkNumel(call: string, name: string, tensor: Tensor, expected: number, why: string): void {
  if (tensor.numel() !== expected) {
    throw new UserError(
      `${call}: ${name}: expected ${expected} elements (${why}), found ${tensor.numel()} in shape ${shapeText(tensor)}.`,
    );
  }
}

/** One tensor per rank of the group, each contiguous, of `like`'s dtype and on its device. */
export function checkList(
  call: string,
  name: string,
  list: readonly Tensor[],
  group: ProcessGroup,
  likeName: string,
  like: Tensor,
): void {
  if (list.length !== group.size) {
    throw new UserError(
      `${call}: ${name}: expected ${group.size} tensors, one for each rank of ${group.toString()}, found ${list.length}.`,
    );
  }
  for (const [i, tensor] of list.entries()) {
    checkTensor(call, `${name}[${i}]`, tensor, group);
    checkSameType(call, `${name}[${i}]`, tensor, likeName, like);
  }
}

/** Like checkList; also all shapes must equal that of `like`. */
export function checkEqualList(
  call: string,
  name: string,
  list: readonly Tensor[],
  group: ProcessGroup,
  likeName: string,
  like: Tensor,
): void {
  checkList(call, name, list, group, likeName, like);
  for (const [i, tensor] of list.entries())
    checkShape(call, `${name}[${i}]`, tensor, like.shape, `as ${likeName}`);
}

/** The number of rows per rank; empty means even splits. */
export function checkSplits(
  call: string,
  name: string,
  splits: readonly number[] | undefined,
  rows: number,
  group: ProcessGroup,
): readonly number[] {
  if (splits === undefined) {
    if (rows % group.size !== 0) {
      throw new UserError(
        `${call}: ${rows} rows don't divide among the ${group.size} ranks of the group; pass ${name}.`,
      );
    }
    return [];
  }
  if (splits.length !== group.size) {
    throw new UserError(
      `${call}: ${name}: expected ${group.size} sizes, one for each rank, found ${splits.length}.`,
    );
  }
  for (const [i, size] of splits.entries()) {
    if (!Number.isInteger(size) || size < 0) {
      throw new UserError(`${call}: ${name}[${i}]: expected a whole number of 0 or more, found ${size}.`);
    }
  }
  const sum = splits.reduce((a, b) => a + b, 0);
  if (sum !== rows) {
    throw new UserError(
      `${call}: ${name} [${splits.join(", ")}] adds up to ${sum} rows, and the tensor has ${rows}.`,
    );
  }
  return splits;
}

/** A member's rank in the group. @throws UserError if the global rank isn't a member */
export function checkPeer(call: string, name: string, globalRank: number, group: ProcessGroup): number {
  const groupRank = group.ranks.indexOf(globalRank);
  if (groupRank < 0) {
    throw new UserError(`${call}: ${name}: rank ${globalRank} is not in ${group.toString()}.`);
  }
  return groupRank;
}
