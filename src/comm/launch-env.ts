// What a launcher (torchrun, srun with a wrapper, our own process mesh) tells a process about its place in the run, by
// environment variables. Reading only; the rendezvous is in process-group.ts.
import { UserError } from "../util/index.ts";

/** A process's place in a run, as its launcher gave it. */
export interface LaunchEnv {
  rank: number;
  worldSize: number;
  /** The rank among this machine's processes; 0 where the launcher doesn't say. */
  localRank: number;
  localWorldSize: number;
  masterAddr: string;
  masterPort: number;
  /** The launcher hosts the store (torchrun): then rank 0 is a client too. */
  agentStore: boolean;
  /** How often torchrun has restarted the workers: keys of different attempts must not meet. */
  restartCount: number;
}

/** Whether a launcher has set RANK and WORLD_SIZE: this process then is one rank of a run. */
export function isLaunched(env: NodeJS.ProcessEnv = process.env): boolean {
  return Boolean(env["RANK"] && env["WORLD_SIZE"]);
}

/**
 * Reads RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT and, where they are set, LOCAL_RANK, LOCAL_WORLD_SIZE,
 * TORCHELASTIC_USE_AGENT_STORE and TORCHELASTIC_RESTART_COUNT.
 * @throws UserError naming the variable that is missing or wrong.
 */
export function readLaunchEnv(env: NodeJS.ProcessEnv = process.env): LaunchEnv {
  const missing = ["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"].filter((name) => !env[name]);
  if (missing.length > 0) {
    throw new UserError(
      `initProcessGroup: expected the launcher to set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT; ${missing.join(" and ")} ` +
        `${missing.length > 1 ? "are" : "is"} not set. Start the processes with torchrun --no-python or srun, or pass {store, rank, worldSize}.`,
      { exitCode: 2 },
    );
  }
  const worldSize = whole(env, "WORLD_SIZE", 1);
  const rank = whole(env, "RANK", 0);
  if (rank >= worldSize) {
    throw new UserError(`RANK: expected 0 to ${worldSize - 1} (WORLD_SIZE is ${worldSize}), found ${rank}.`, {
      exitCode: 2,
    });
  }
  return {
    rank,
    worldSize,
    localRank: env["LOCAL_RANK"] ? whole(env, "LOCAL_RANK", 0) : 0,
    localWorldSize: env["LOCAL_WORLD_SIZE"] ? whole(env, "LOCAL_WORLD_SIZE", 1) : 1,
    masterAddr: env["MASTER_ADDR"]!,
    masterPort: whole(env, "MASTER_PORT", 1, 65_535),
    agentStore: env["TORCHELASTIC_USE_AGENT_STORE"] === "True",
    restartCount: env["TORCHELASTIC_RESTART_COUNT"] ? whole(env, "TORCHELASTIC_RESTART_COUNT", 0) : 0,
  };
}

function whole(env: NodeJS.ProcessEnv, name: string, least: number, most = Number.MAX_SAFE_INTEGER): number {
  const text = env[name]!.trim();
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) {
    const limits = most === Number.MAX_SAFE_INTEGER ? `of ${least} or more` : `between ${least} and ${most}`;
    throw new UserError(`${name}: expected a whole number ${limits}, found ${JSON.stringify(env[name])}.`, {
      exitCode: 2,
    });
  }
  return value;
}
