// The arithmetic of a device mesh: ranks in a grid with named axes, last axis fastest. Numbers only; the process groups
// are made in device-mesh.ts.
import { UserError } from "../util/index.ts";

/** Which ranks form the lines of a mesh: `ranks` holds shape[0] x shape[1] x … of them, the last axis fastest. */
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

  /** Where a rank stands, one number an axis; undefined when it is not in the mesh. */
  coordinateOf(rank: number): number[] | undefined {
    let at = this.ranks.indexOf(rank);
    if (at < 0) return undefined;
    const coordinate = Array.from({ length: this.shape.length }, () => 0);
    for (let axis = this.shape.length - 1; axis >= 0; axis--) {
      coordinate[axis] = at % this.shape[axis]!;
      at = Math.floor(at / this.shape[axis]!);
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
    return this.ranks[coordinate.reduce((at, c, i) => at * this.shape[i]! + c, 0)]!;
  }

  /**
   * The ranks that differ from `rank` only along the given axes, in the axes' order (the last one fastest): the members
   * of the process group over those axes.
   */
  line(rank: number, axes: readonly string[]): number[] {
    const coordinate = this.coordinateOf(rank);
    if (coordinate === undefined) return [];
    return this.#span(coordinate, this.#indices(axes));
  }

  /** All lines along the axes: every rank is in exactly one. */
  lines(axes: readonly string[]): number[][] {
    const indices = this.#indices(axes);
    const seen = new Set<number>();
    const lines: number[][] = [];
    for (const rank of this.ranks) {
      if (seen.has(rank)) continue;
      const line = this.#span(this.coordinateOf(rank)!, indices);
      for (const member of line) seen.add(member);
      lines.push(line);
    }
    return lines;
  }

  /** The sub-mesh of the given axes that `rank` is in. */
  slice(rank: number, axes: readonly string[]): MeshLayout {
    const indices = this.#indices(axes);
    return new MeshLayout(
      indices.map((i) => this.shape[i]!),
      axes,
      this.line(rank, axes),
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

  #span(from: readonly number[], indices: readonly number[]): number[] {
    let places = [[...from]];
    for (const index of indices) {
      places = places.flatMap((place) => range(this.shape[index]!).map((c) => place.with(index, c)));
    }
    return places.map((place) => this.rankAt(place));
  }
}

function product(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a * b, 1);
}

function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
