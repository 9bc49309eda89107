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
  readonly job: number | undefined;
}

/**
 * Sets RANK, WORLD_SIZE and so on in `env` where another launcher started this process as one of several.
 * @throws UserError where there are several tasks, and no mesh can be made of them: each would train by itself
 */
export function adoptLauncher(env: Record<string, string | undefined> = process.env): void {
  Object.assign(env, launchVariables(env));
}

export function launchVariables(env: Environment): LaunchVariables | undefined {
  if (env["RANK"]) return undefined;
  const launcher = openMpi(env) ?? slurm(env) ?? pmi(env);
  if (launcher === undefined || launcher.size === undefined || launcher.size === "1") return undefined;
  const { name, rank, size } = launcher;
  if (!isNumber(rank) || !isNumber(size) || Number(rank) >= Number(size))
    throw refusal(name, size, `its rank is ${JSON.stringify(rank)} of ${JSON.stringify(size)}`);
  const localSize = env["LOCAL_WORLD_SIZE"] || launcher.localSize;
  const MASTER_ADDR = env["MASTER_ADDR"] || (localSize === size ? "127.0.0.1" : launcher.address);
  if (!MASTER_ADDR)
    throw refusal(
      name,
      size,
      "it doesn't say on which host rank 0 is",
      "Set MASTER_ADDR to that host for every task",
    );
  const localRank = env["LOCAL_RANK"] || launcher.localRank || (localSize === size ? rank : undefined);
  if (!isNumber(localRank) || !isNumber(localSize))
    throw refusal(
      name,
      size,
      "it doesn't say which tasks share a host",
      "Set LOCAL_RANK and LOCAL_WORLD_SIZE in each task, its place among those of its host and their number",
    );
  // Below the ports that systems give to outgoing connections.
  const port = launcher.job === undefined ? undefined : String(15_000 + (launcher.job % 15_000));
  const MASTER_PORT = env["MASTER_PORT"] || port;
  if (!MASTER_PORT)
    throw refusal(
      name,
      size,
      "it gives them no number in common, from which a port would follow",
      "Set MASTER_PORT to a free port of rank 0's host for every task (-genv MASTER_PORT 29500 of MPICH's and Intel's mpirun, -x MASTER_PORT=29500 of Open MPI's)",
    );
  return {
    RANK: rank,
    WORLD_SIZE: size,
    LOCAL_RANK: localRank,
    LOCAL_WORLD_SIZE: localSize,
    MASTER_ADDR,
    MASTER_PORT,
  };
}

const isNumber = (text: string | undefined): text is string => text !== undefined && /^\d+$/.test(text);

const refusal = (
  name: string,
  size: string,
  why: string,
  what = "Set RANK and WORLD_SIZE in each task",
): UserError =>
  new UserError(
    `${name} has started ${size} tasks, and they can't be made one run: ${why}. Each would train by itself. ${what}, start them with torchrun --no-python, or start one task.`,
    { exitCode: 2 },
  );

const slurmTasks = (env: Environment): string | undefined =>
  env["SLURM_STEP_NUM_TASKS"] || env["SLURM_NTASKS"] || env["SLURM_NPROCS"];

/** A batch script (a notebook's server, say) has the variables of its job, and is one process, no task of a step. */
const isBatchScript = (env: Environment): boolean => env["ENVIRONMENT"] === "BATCH" && !env["SLURM_STEP_ID"];

/** How many tasks Slurm has given to the job whose batch script this is, if more than one: srun would start them. */
export function tasksOfBatchScript(env: Environment = process.env): number | undefined {
  if (env["RANK"] || !isBatchScript(env) || (openMpi(env) ?? pmi(env)) !== undefined) return undefined;
  const tasks = Number(slurmTasks(env));
  return tasks > 1 ? tasks : undefined;
}

function slurm(env: Environment): Launcher | undefined {
  const rank = env["SLURM_PROCID"];
  if (!rank || isBatchScript(env)) return undefined;
  const size = slurmTasks(env);
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
    job: numberOf(env["SLURM_JOB_ID"] || env["SLURM_JOBID"], Number(env["SLURM_STEP_ID"] || 0)),
  };
}

function openMpi(env: Environment): Launcher | undefined {
  const rank = env["OMPI_COMM_WORLD_RANK"];
  if (!rank) return undefined;
  // Open MPI 4: 1234.0;tcp://10.0.0.1,192.168.0.1:40000, where mpirun itself runs, and rank 0 by default, too.
  const uri = env["OMPI_MCA_orte_hnp_uri"] ?? "";
  return {
    name: "Open MPI",
    rank,
    size: env["OMPI_COMM_WORLD_SIZE"],
    localRank: env["OMPI_COMM_WORLD_LOCAL_RANK"],
    localSize: env["OMPI_COMM_WORLD_LOCAL_SIZE"],
    address: /tcp:\/\/([^,:;]+)/.exec(uri)?.[1],
    job: numberOf(env["OMPI_MCA_ess_base_jobid"] || env["PMIX_NAMESPACE"]),
  };
}

function pmi(env: Environment): Launcher | undefined {
  const rank = env["PMI_RANK"];
  if (!rank) return undefined;
  return {
    name: "The launcher (PMI)",
    rank,
    size: env["PMI_SIZE"],
    // Intel MPI and MPICH; Cray's.
    localRank: env["MPI_LOCALRANKID"] || env["PMI_LOCAL_RANK"],
    localSize: env["MPI_LOCALNRANKS"] || env["PMI_LOCAL_SIZE"],
    address: undefined,
    job: numberOf(env["PMI_JOBID"]),
  };
}

/** Of a text with digits. */
function numberOf(text: string | undefined, more = 0): number | undefined {
  const digits = text?.match(/\d+/g)?.join("").slice(-9);
  return digits === undefined ? undefined : Number(digits) + more;
}

/** The first host of `node[003-010,12]`, `a,b`, `gpu-a[1,3]-ib` or `rack[0-3]node[1-4]`. */
export function firstHost(list: string): string {
  const [first] = /^(?:[^,[]|\[[^\]]*\])*/.exec(list)!;
  return first.replaceAll(/\[([^\]]*)\]/g, (_, range: string) => range.split(/[-,]/)[0]!);
}

/** `2(x3),1` is 2, 2, 2, 1. */
function tasksPerNode(text = ""): string[] {
  return text.split(",").flatMap((part) => {
    const [, tasks, nodes = "1"] = /^(\d+)(?:\(x(\d+)\))?$/.exec(part) ?? [];
    return tasks === undefined ? [] : Array.from({ length: Number(nodes) }, () => tasks);
  });
}
