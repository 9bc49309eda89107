// The ranks of a run as a grid with named axes (dp, tp, pp …), and the process groups along any of its axes. The
// arithmetic is in mesh-layout.ts.
import { UserError } from "../util/index.ts";
import { MeshLayout } from "./mesh-layout.ts";
import { newGroup, type ProcessGroup, worldGroup } from "./process-group.ts";

export class DeviceMesh {
  readonly deviceType: string;
  readonly layout: MeshLayout;
  readonly #rank: number;
  /** Groups by their axes, joined by commas; shared by the slices of a mesh. */
  readonly #groups: Map<string, ProcessGroup>;

  /** @internal Made by initDeviceMesh, slice and flatten. */
  constructor(deviceType: string, layout: MeshLayout, rank: number, groups: Map<string, ProcessGroup>) {
    this.deviceType = deviceType;
    this.layout = layout;
    this.#rank = rank;
    this.#groups = groups;
  }

  /** The axes' sizes. */
  get shape(): readonly number[] {
    return this.layout.shape;
  }
  get axes(): readonly string[] {
    return this.layout.axes;
  }
  /** The number of ranks. */
  get size(): number {
    return this.layout.size;
  }
  /** This process's place, one number an axis. */
  get coordinate(): readonly number[] {
    return this.layout.coordinateOf(this.#rank)!;
  }

  /** The size of one axis. @throws UserError for an axis that the mesh hasn't. */
  axisSize(axis: string): number {
    return this.layout.shape[this.layout.axisIndex(axis)]!;
  }

  /** This process's place along one axis. */
  localRank(axis: string): number {
    return this.coordinate[this.layout.axisIndex(axis)]!;
  }

  /** The rank of the world at a place. */
  rankAt(coordinate: readonly number[]): number {
    return this.layout.rankAt(coordinate);
  }

  /**
   * The group of the ranks that differ from this one only along the given axes. Each single axis has one; several
   * together have one after `flatten`. Without an axis: that of a mesh of one axis.
   * @throws UserError for an axis that the mesh hasn't, or axes that weren't flattened.
   */
  group(...axes: readonly string[]): ProcessGroup {
    const asked = axes.length === 0 ? this.axes : axes;
    for (const axis of asked) this.layout.axisIndex(axis);
    const found = this.#groups.get(asked.join(","));
    if (found === undefined) {
      const names = asked.map((axis) => `"${axis}"`).join(", ");
      throw new UserError(
        `device mesh: there is no group over the axes ${names} together yet; \`await mesh.flatten([${names}])\` on every rank first.`,
      );
    }
    return found;
  }

  /** The sub-mesh of some axes that this process is in. Its groups are those of this mesh: nothing is made. */
  slice(axes: readonly string[]): DeviceMesh {
    return new DeviceMesh(this.deviceType, this.layout.slice(this.#rank, axes), this.#rank, this.#groups);
  }

  /**
   * One group over several axes together, the last one fastest; `group(...axes)` finds it from then on. Every rank of the
   * mesh calls it.
   */
  async flatten(axes: readonly string[]): Promise<ProcessGroup> {
    const key = axes.join(",");
    const known = this.#groups.get(key);
    if (known !== undefined) return known;
    const made = await groupOf(this.layout, this.#rank, axes);
    this.#groups.set(key, made);
    return made;
  }
}

async function groupOf(layout: MeshLayout, rank: number, axes: readonly string[]): Promise<ProcessGroup> {
  const line = layout.line(rank, axes);
  const world = worldGroup();
  // The whole world in its own order is there already.
  if (line.length === world.size && line.every((member, i) => member === i)) return world;
  return await newGroup(line, { description: `${axes.join("+")} ranks` });
}

/**
 * Lays the ranks of the world out as a grid, the last axis fastest, and makes the groups along each axis. Every rank calls
 * it with the same arguments. For 8 ranks, `initDeviceMesh("cpu", [4, 2], ["dp", "tp"])`: neighbours 0 and 1 share "tp".
 * @throws UserError when the sizes don't multiply to the number of ranks.
 */
export async function initDeviceMesh(
  deviceType: string,
  shape: readonly number[],
  axes: readonly string[],
): Promise<DeviceMesh> {
  const world = worldGroup();
  const layout = new MeshLayout(shape, axes);
  if (layout.size !== world.size) {
    throw new UserError(
      `initDeviceMesh: ${axes.map((axis, i) => `${axis}=${shape[i]}`).join(" x ")} is ${layout.size} ranks, and the run has ${world.size}.`,
      { exitCode: 2 },
    );
  }
  const groups = new Map<string, ProcessGroup>();
  // The same order of axes on every rank, or two ranks would wait for each other in different groups.
  for (const axis of axes) groups.set(axis, await groupOf(layout, world.globalRank, [axis]));
  return new DeviceMesh(deviceType, layout, world.globalRank, groups);
}
