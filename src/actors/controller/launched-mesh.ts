// This process as one rank of a run that a launcher started (torchrun or srun: RANK and WORLD_SIZE are set). Nothing is
// spawned: the actor, and with it libtorch, lives in this process.
import { messageOf, type Environment } from "../../util/index.ts";
import { ActorRunner } from "../worker/actor-runner.ts";
import type { ActorClass } from "../base-forge-actor.ts";
import type { Config } from "../../config/index.ts";
import type { ActorMessage } from "../messages/events.ts";
import type { Mesh } from "./mesh.ts";
import { worldModule } from "./programs.ts";
import type { World } from "../world.ts";

/** Whether a launcher started this process as one rank of a run. */
export const isLaunchedRank = (env: Environment = process.env): boolean =>
  Boolean(env["RANK"] && env["WORLD_SIZE"]);

export class LaunchedMesh implements Mesh {
  readonly ranks = [0];
  readonly rank: number;
  readonly #runner: ActorRunner;
  readonly #actorClass: ActorClass;
  readonly #config: Config;
  #world: World | undefined;

  constructor(
    actorClass: ActorClass,
    config: Config,
    onMessage: (rank: number, message: ActorMessage) => void,
  ) {
    const fromEnv = (name: string): number => Number(process.env[name] ?? 0);
    const rankInfo = {
      rank: fromEnv("RANK"),
      localRank: fromEnv("LOCAL_RANK"),
      worldSize: fromEnv("WORLD_SIZE"),
    };
    this.rank = rankInfo.rank;
    this.#actorClass = actorClass;
    this.#config = config;
    this.#runner = new ActorRunner(rankInfo, (message) => onMessage(rankInfo.rank, message));
  }

  async start(): Promise<void> {
    const { world } = (await import(worldModule.href)) as { world: World };
    this.#world = world;
    this.#runner.use(this.#actorClass, this.#config);
    await world.checkDevice(this.#config, {
      localRank: Number(process.env["LOCAL_RANK"] ?? 0),
      localWorldSize: Number(process.env["LOCAL_WORLD_SIZE"] ?? 1),
      isLaunched: true,
    });
    if (process.env["WORLD_SIZE"] !== "1") await world.join(this.#config);
    this.#runner.create();
  }

  async phase(name: "setup" | "run" | "cleanup"): Promise<unknown> {
    try {
      return await this.#runner.phase(name);
    } catch (error) {
      await this.#world?.reportFailure(error);
      throw error;
    }
  }

  async configure(config: Config): Promise<void> {
    await this.#runner.configure(config);
  }

  read(_: number, name: string): Promise<unknown> {
    return this.#runner.read(name);
  }

  call(_: number, name: string, args: readonly unknown[]): Promise<unknown> {
    return this.#runner.call(name, args);
  }

  stop(): void {
    this.#runner.stop();
  }

  async abandon(): Promise<unknown[]> {
    const errors: unknown[] = [];
    await this.phase("cleanup").catch((error: unknown) => errors.push(error));
    await this.end().catch((error: unknown) => errors.push(new Error(messageOf(error))));
    return errors;
  }

  async end(): Promise<void> {
    await this.#world?.leave();
  }

  /** The only process that can be killed is this one. */
  kill(): Promise<void> {
    process.exit(1);
  }
}
