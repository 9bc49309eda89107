// Reads the environment variables by which a launcher (torchrun, the process mesh of src/actors; others through util/launcher.ts) tells a
// process its rank. The rendezvous itself is in process-group.ts.
import { UserError, type Environment } from "../util/index.ts";

/** A process's rank in a run, as its launcher set it. */
export interface LaunchEnv {
  rank: number;
  worldSize: number;
  /** The rank among this machine's processes; 0 if the launcher doesn't set it. */
  localRank: number;
  localWorldSize: number;
  masterAddr: string;
  masterPort: number;
  /** Whether the launcher hosts the store (torchrun), so that rank 0 is a client too. */
  agentStore: boolean;
  /** How often torchrun has restarted the workers. Part of the store's prefix, so that attempts don't share keys. */
  restartCount: number;
  /** What the ranks of this run have in common, and other runs not; empty if the launcher sets nothing of that kind. */
  secret: string;
}

/** Whether a launcher has set RANK and WORLD_SIZE, so that this process is one rank of a run. */
export function isLaunched(env: Environment = process.env): boolean {
  return Boolean(env["RANK"] && env["WORLD_SIZE"]);
}

/**
 * Reads RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT and, where they are set, LOCAL_RANK, LOCAL_WORLD_SIZE,
 * TORCHELASTIC_USE_AGENT_STORE, TORCHELASTIC_RESTART_COUNT and TORCHFORGE_STORE_SECRET.
 * @throws UserError that names the missing or invalid variable
 */
export function readLaunchEnv(env: Environment = process.env): LaunchEnv {
  const missing = ["RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"].filter((name) => !env[name]);
  if (missing.length > 0) {
    throw new UserError(
      `initProcessGroup: expected the launcher to set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT; ${missing.join(" and ")} ` +
        `${missing.length > 1 ? "are" : "is"} not set. Start the processes with torchrun --no-python or srun, or pass {store, rank, worldSize}.`,
      { exitCode: 2 },
    );
  }
  const worldSize = wholeNumber(env, "WORLD_SIZE", 1);
  const rank = wholeNumber(env, "RANK", 0);
  if (rank >= worldSize) {
    throw new UserError(`RANK: expected 0 to ${worldSize - 1} (WORLD_SIZE is ${worldSize}), found ${rank}.`, {
      exitCode: 2,
    });
  }
  return {
    rank,
    worldSize,
    localRank: env["LOCAL_RANK"] ? wholeNumber(env, "LOCAL_RANK", 0) : 0,
    localWorldSize: env["LOCAL_WORLD_SIZE"] ? wholeNumber(env, "LOCAL_WORLD_SIZE", 1) : 1,
    masterAddr: env["MASTER_ADDR"]!,
    masterPort: wholeNumber(env, "MASTER_PORT", 1, 65_535),
    agentStore: env["TORCHELASTIC_USE_AGENT_STORE"] === "True",
    restartCount: env["TORCHELASTIC_RESTART_COUNT"] ? wholeNumber(env, "TORCHELASTIC_RESTART_COUNT", 0) : 0,
    secret: env["TORCHFORGE_STORE_SECRET"] || jobOf(env),
  };
}

/** The job's name by its launcher: no secret, and yet two jobs on one port are told apart. */
function jobOf(env: Environment): string {
  if (env["TORCHELASTIC_RUN_ID"]) return `torchrun ${env["TORCHELASTIC_RUN_ID"]}`;
  const { SLURM_JOB_ID: job, SLURM_STEP_ID: step } = env;
  return job && step ? `slurm ${job}.${step}` : "";
}

function wholeNumber(env: Environment, name: string, min: number, max = Number.MAX_SAFE_INTEGER): number {
  const text = env[name]!.trim();
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    const limits = max === Number.MAX_SAFE_INTEGER ? `of ${min} or more` : `between ${min} and ${max}`;
    throw new UserError(`${name}: expected a whole number ${limits}, found ${JSON.stringify(env[name])}.`, {
      exitCode: 2,
    });
  }
  return value;
}
