// Launchers that don't set RANK and WORLD_SIZE, as torchrun does: Slurm's srun, Open MPI's mpirun, and those that speak PMI
// (MPICH, Intel MPI). Their variables are translated, once, into torchrun's, by which everything else goes.
import { UserError } from "./errors.ts";
import type { Environment } from "./environment.ts";

/** What torchrun would set. */
type LaunchVariables = Readonly<
  Record<"RANK" | "WORLD_SIZE" | "LOCAL_RANK" | "LOCAL_WORLD_SIZE" | "MASTER_ADDR" | "MASTER_PORT", string>
>;

interface Launcher {
  readonly name: string;
  readonly rank: string;
  readonly size: string | undefined;
  readonly localRank: string | undefined;
  readonly localSize: string | undefined;
  /** The host of rank 0; undefined where the launcher doesn't tell. */
  readonly address: string | undefined;
  /** A number that the ranks of this job have in common, and other jobs not. */
  readonly job: number;
}

/**
 * Sets RANK, WORLD_SIZE and so on in `env` where another launcher started this process as one of several.
 * @throws UserError where there are several tasks, and no mesh can be made of them: each would train by itself
 */
export function adoptLauncher(env: Record<string, string | undefined> = process.env): void {
  Object.assign(env, launchVariables(env));
}

/** @param parent this process's parent, which the processes of a launcher on one machine share */
export function launchVariables(
  env: Environment,
  parent: number = process.ppid,
): LaunchVariables | undefined {
  if (env["RANK"]) return undefined;
  const launcher = openMpi(env, parent) ?? slurm(env) ?? pmi(env, parent);
  if (launcher === undefined || launcher.size === undefined || launcher.size === "1") return undefined;
  const { name, rank, size, localRank = "0", localSize = "1" } = launcher;
  if (!/^\d+$/.test(rank) || !/^\d+$/.test(size) || Number(rank) >= Number(size))
    throw refusal(name, size, `its rank is ${JSON.stringify(rank)} of ${JSON.stringify(size)}`);
  const MASTER_ADDR = env["MASTER_ADDR"] || (localSize === size ? "127.0.0.1" : launcher.address);
  if (!MASTER_ADDR) throw refusal(name, size, "it doesn't say on which host rank 0 is");
  // Below the ports that systems give to outgoing connections.
  const MASTER_PORT = env["MASTER_PORT"] || String(15_000 + (launcher.job % 15_000));
  return {
    RANK: rank,
    WORLD_SIZE: size,
    LOCAL_RANK: localRank,
    LOCAL_WORLD_SIZE: localSize,
    MASTER_ADDR,
    MASTER_PORT,
  };
}

const refusal = (name: string, size: string, why: string): UserError =>
  new UserError(
    `${name} has started ${size} tasks, and they can't be made one run: ${why}. Each would train by itself. Set MASTER_ADDR to the host of rank 0 and RANK and WORLD_SIZE in each task, start them with torchrun --no-python, or start one task.`,
    { exitCode: 2 },
  );

function slurm(env: Environment): Launcher | undefined {
  const rank = env["SLURM_PROCID"];
  if (!rank) return undefined;
  const size = env["SLURM_STEP_NUM_TASKS"] || env["SLURM_NTASKS"] || env["SLURM_NPROCS"];
  // A batch script has the variables of its job, and is no task of a step.
  if (env["ENVIRONMENT"] === "BATCH" && !env["SLURM_STEP_ID"] && size !== undefined && size !== "1")
    throw new UserError(
      `Slurm has given this job ${size} tasks, and this is its batch script, one process of its own. Start the run with srun: srun npx torchforge sft …`,
      { exitCode: 2 },
    );
  const hosts = env["SLURM_STEP_NODELIST"] || env["SLURM_NODELIST"] || env["SLURM_JOB_NODELIST"];
  const nodes = env["SLURM_STEP_NUM_NODES"] || env["SLURM_NNODES"];
  const perNode = tasksPerNode(env["SLURM_STEP_TASKS_PER_NODE"] || env["SLURM_TASKS_PER_NODE"]);
  return {
    name: "Slurm",
    rank,
    size,
    localRank: env["SLURM_LOCALID"],
    localSize: nodes === "1" ? size : perNode[Number(env["SLURM_NODEID"] ?? 0)],
    address: hosts === undefined ? undefined : firstHost(hosts),
    job: Number(env["SLURM_JOB_ID"] || env["SLURM_JOBID"] || 0) + Number(env["SLURM_STEP_ID"] || 0),
  };
}

function openMpi(env: Environment, parent: number): Launcher | undefined {
  const rank = env["OMPI_COMM_WORLD_RANK"];
  if (!rank) return undefined;
  // 1234.0;tcp://10.0.0.1,192.168.0.1:40000: where mpirun itself runs, and rank 0 by default, too.
  const uri = env["OMPI_MCA_orte_hnp_uri"] || env["PMIX_SERVER_URI4"] || env["PMIX_SERVER_URI2"] || "";
  return {
    name: "Open MPI",
    rank,
    size: env["OMPI_COMM_WORLD_SIZE"],
    localRank: env["OMPI_COMM_WORLD_LOCAL_RANK"],
    localSize: env["OMPI_COMM_WORLD_LOCAL_SIZE"],
    address: env["OMPI_MCA_orte_hnp_uri"] ? /tcp:\/\/([^,:;]+)/.exec(uri)?.[1] : undefined,
    job: numberOf(env["OMPI_MCA_ess_base_jobid"] || env["PMIX_NAMESPACE"]) ?? parent,
  };
}

function pmi(env: Environment, parent: number): Launcher | undefined {
  const rank = env["PMI_RANK"];
  if (!rank) return undefined;
  const size = env["PMI_SIZE"];
  return {
    name: "The launcher (PMI)",
    rank,
    size,
    localRank: env["MPI_LOCALRANKID"],
    localSize: env["MPI_LOCALNRANKS"],
    address: undefined,
    job: numberOf(env["PMI_JOBID"]) ?? parent,
  };
}

/** Of a text with digits. */
function numberOf(text: string | undefined): number | undefined {
  const digits = text?.match(/\d+/g)?.join("").slice(-9);
  return digits === undefined ? undefined : Number(digits);
}

/** The first host of `node[003-010,12]`, `a,b` or `gpu-a[1,3]-ib`. */
export function firstHost(list: string): string {
  const [, before, range, after] = /^([^,[]*)(?:\[([^\]]*)\]([^,[]*))?/.exec(list)!;
  return range === undefined ? before! : `${before}${range.split(/[-,]/)[0]}${after}`;
}

/** `2(x3),1` is 2, 2, 2, 1. */
function tasksPerNode(text = ""): string[] {
  return text.split(",").flatMap((part) => {
    const [, tasks, nodes = "1"] = /^(\d+)(?:\(x(\d+)\))?$/.exec(part) ?? [];
    return tasks === undefined ? [] : Array.from({ length: Number(nodes) }, () => tasks);
  });
}
