// The arithmetic of a device mesh: ranks in a grid with named axes, last axis fastest. It creates no process groups; those
// are in device-mesh.ts.
import { UserError } from "../util/index.ts";

/** A grid of ranks: `ranks` has shape[0] x shape[1] x … entries, the last axis fastest. */
export class MeshLayout {
  readonly shape: readonly number[];
  readonly axes: readonly string[];
  readonly ranks: readonly number[];

  constructor(
    shape: readonly number[],
    axes: readonly string[],
    ranks: readonly number[] = range(product(shape)),
  ) {
    if (shape.length !== axes.length) {
      throw new UserError(
        `initDeviceMesh: expected one name for each axis, found shape [${shape.join(", ")}] and names [${axes.join(", ")}].`,
        { exitCode: 2 },
      );
    }
    for (const [i, size] of shape.entries()) {
      if (!Number.isInteger(size) || size < 1) {
        throw new UserError(
          `initDeviceMesh: expected a positive whole number as the size of axis "${axes[i]}", found ${size}.`,
          {
            exitCode: 2,
          },
        );
      }
      const name = axes[i]!;
      if (!/^[A-Za-z]\w*$/.test(name)) {
        throw new UserError(
          `initDeviceMesh: expected axis names of letters, digits and _, found ${JSON.stringify(name)}.`,
          {
            exitCode: 2,
          },
        );
      }
      if (axes.indexOf(name) !== i) {
        throw new UserError(`initDeviceMesh: the axis name "${name}" is there twice.`, { exitCode: 2 });
      }
    }
    if (ranks.length !== product(shape)) {
      throw new UserError(
        `initDeviceMesh: shape [${shape.join(", ")}] has ${product(shape)} places, found ${ranks.length} ranks.`,
        { exitCode: 2 },
      );
    }
    this.shape = [...shape];
    this.axes = [...axes];
    this.ranks = [...ranks];
  }

  get size(): number {
    return this.ranks.length;
  }

  axisIndex(name: string): number {
    const index = this.axes.indexOf(name);
    if (index < 0) {
      throw new UserError(
        `device mesh: no axis "${name}"; this mesh has ${this.axes.map((axis) => `"${axis}"`).join(", ")}.`,
        { exitCode: 2 },
      );
    }
    return index;
  }

  /** A rank's index along each axis; undefined if it isn't in the mesh. */
  coordinateOf(rank: number): number[] | undefined {
    let index = this.ranks.indexOf(rank);
    if (index < 0) return undefined;
    const coordinate = Array.from({ length: this.shape.length }, () => 0);
    for (let axis = this.shape.length - 1; axis >= 0; axis--) {
      coordinate[axis] = index % this.shape[axis]!;
      index = Math.floor(index / this.shape[axis]!);
    }
    return coordinate;
  }

  rankAt(coordinate: readonly number[]): number {
    if (
      coordinate.length !== this.shape.length ||
      coordinate.some((c, i) => !Number.isInteger(c) || c < 0 || c >= this.shape[i]!)
    ) {
      throw new UserError(
        `device mesh: no place [${coordinate.join(", ")}] in a mesh of shape [${this.shape.join(", ")}].`,
      );
    }
    return this.ranks[coordinate.reduce((index, c, i) => index * this.shape[i]! + c, 0)]!;
  }

  /**
   * The ranks whose coordinates differ from `rank`'s only along the given axes, the last axis fastest: the members of the
   * process group over those axes.
   */
  groupOf(rank: number, axes: readonly string[]): number[] {
    const coordinate = this.coordinateOf(rank);
    if (coordinate === undefined) return [];
    return this.#ranksAlong(coordinate, this.#indices(axes));
  }

  /** All process groups over the axes: every rank is in exactly one. */
  groupsAlong(axes: readonly string[]): number[][] {
    const indices = this.#indices(axes);
    const seen = new Set<number>();
    const groups: number[][] = [];
    for (const rank of this.ranks) {
      if (seen.has(rank)) continue;
      const group = this.#ranksAlong(this.coordinateOf(rank)!, indices);
      for (const member of group) seen.add(member);
      groups.push(group);
    }
    return groups;
  }

  /** The sub-mesh over the given axes that contains `rank`. */
  slice(rank: number, axes: readonly string[]): MeshLayout {
    const indices = this.#indices(axes);
    return new MeshLayout(
      indices.map((i) => this.shape[i]!),
      axes,
      this.groupOf(rank, axes),
    );
  }

  #indices(axes: readonly string[]): number[] {
    if (axes.length === 0) throw new UserError("device mesh: expected at least one axis.", { exitCode: 2 });
    const indices = axes.map((axis) => this.axisIndex(axis));
    if (new Set(indices).size !== indices.length) {
      throw new UserError(`device mesh: an axis is there twice in ${axes.join(", ")}.`, { exitCode: 2 });
    }
    return indices;
  }

  #ranksAlong(from: readonly number[], indices: readonly number[]): number[] {
    let coordinates = [[...from]];
    for (const index of indices) {
      coordinates = coordinates.flatMap((one) => range(this.shape[index]!).map((i) => one.with(index, i)));
    }
    return coordinates.map((one) => this.rankAt(one));
  }
}

function product(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a * b, 1);
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
