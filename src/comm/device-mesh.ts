// The ranks of a run as a grid with named axes (dp, tp, pp …), and the process groups along its axes. The arithmetic is in
// mesh-layout.ts.
import { UserError } from "../util/index.ts";
import { MeshLayout } from "./mesh-layout.ts";
import { newGroup, type ProcessGroup, worldGroup } from "./process-group.ts";

export class DeviceMesh {
  readonly deviceType: string;
  readonly layout: MeshLayout;
  readonly #rank: number;
  /** Groups, keyed by their axes joined with commas. Shared by all slices of a mesh. */
  readonly #groups: Map<string, ProcessGroup>;

  /** @internal Use initDeviceMesh, slice or flatten. */
  constructor(deviceType: string, layout: MeshLayout, rank: number, groups: Map<string, ProcessGroup>) {
    this.deviceType = deviceType;
    this.layout = layout;
    this.#rank = rank;
    this.#groups = groups;
  }

  /** Size of each axis. */
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
  /** This rank's index along each axis. */
  get coordinate(): readonly number[] {
    return this.layout.coordinateOf(this.#rank)!;
  }

  /** The size of one axis. @throws UserError if the mesh has no such axis */
  axisSize(axis: string): number {
    return this.layout.shape[this.layout.axisIndex(axis)]!;
  }

  /** This rank's index along one axis. */
  localRank(axis: string): number {
    return this.coordinate[this.layout.axisIndex(axis)]!;
  }

  /** The global rank at a coordinate. */
  rankAt(coordinate: readonly number[]): number {
    return this.layout.rankAt(coordinate);
  }

  /**
   * The group of the ranks whose coordinates differ from this rank's only along the given axes. Each single axis has a group;
   * a combination of axes has one after `flatten`. Without arguments: the group of a mesh with a single axis.
   * @throws UserError if the mesh has no such axis, or the axes weren't flattened
   */
  group(...axes: readonly string[]): ProcessGroup {
    const groupAxes = axes.length === 0 ? this.axes : axes;
    for (const axis of groupAxes) this.layout.axisIndex(axis);
    const found = this.#groups.get(groupAxes.join(","));
    if (found === undefined) {
      const names = groupAxes.map((axis) => `"${axis}"`).join(", ");
      throw new UserError(
        `device mesh: there is no group over the axes ${names} together yet; \`await mesh.flatten([${names}])\` on every rank first.`,
      );
    }
    return found;
  }

  /** The sub-mesh over some axes that contains this rank. Shares this mesh's groups, so it isn't collective. */
  slice(axes: readonly string[]): DeviceMesh {
    return new DeviceMesh(this.deviceType, this.layout.slice(this.#rank, axes), this.#rank, this.#groups);
  }

  /**
   * Creates one group over several axes, the last one fastest, which `group(...axes)` then returns. Collective: every rank of
   * the mesh must call it.
   */
  async flatten(axes: readonly string[]): Promise<ProcessGroup> {
    const key = axes.join(",");
    const existing = this.#groups.get(key);
    if (existing !== undefined) return existing;
    const group = await groupOf(this.layout, this.#rank, axes);
    this.#groups.set(key, group);
    return group;
  }
}

async function groupOf(layout: MeshLayout, rank: number, axes: readonly string[]): Promise<ProcessGroup> {
  const members = layout.groupOf(rank, axes);
  const world = worldGroup();
  // The world group can be reused if it has the same order.
  if (members.length === world.size && members.every((member, i) => member === i)) return world;
  return await newGroup(members, { description: `${axes.join("+")} ranks` });
}

/**
 * Arranges all ranks as a grid, the last axis fastest, and creates the process groups along each axis. Collective: every rank
 * calls it with the same arguments.
 * @throws UserError if the product of the sizes isn't the number of ranks
 * @example
 * ```ts no-run
 * import { allReduce, destroyProcessGroup, initDeviceMesh, initProcessGroup } from "torchforge/comm";
 * import { ones } from "torchforge/torch";
 *
 * await initProcessGroup(); // 8 ranks, started by torchrun
 * const mesh = await initDeviceMesh("cpu", [4, 2], ["dp", "tp"]); // ranks 0 and 1 share a "tp" group
 * console.log(mesh.coordinate, allReduce(ones([1]), { group: mesh.group("tp") }).item());
 * await destroyProcessGroup();
 * ```
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
  // All ranks must create the groups in the same order, or two ranks would wait for each other in different groups.
  for (const axis of axes) groups.set(axis, await groupOf(layout, world.globalRank, [axis]));
  return new DeviceMesh(deviceType, layout, world.globalRank, groups);
}
