import assert from "node:assert/strict";
import { test } from "node:test";

import { firstHost, launchVariables, tasksOfBatchScript } from "./launcher.ts";

test("srun's variables: rank, size, the host of rank 0, a port from the job's id", () => {
  const srun = {
    SLURM_PROCID: "5",
    SLURM_NTASKS: "8",
    SLURM_LOCALID: "1",
    SLURM_NODEID: "1",
    SLURM_NNODES: "2",
    SLURM_TASKS_PER_NODE: "4(x2)",
    SLURM_NODELIST: "gpu[003-004]",
    SLURM_JOB_ID: "123456",
    SLURM_STEP_ID: "0",
  };
  assert.deepEqual(launchVariables(srun), {
    RANK: "5",
    WORLD_SIZE: "8",
    LOCAL_RANK: "1",
    LOCAL_WORLD_SIZE: "4",
    MASTER_ADDR: "gpu003",
    MASTER_PORT: String(15_000 + (123_456 % 15_000)),
  });
  const named = launchVariables({ ...srun, MASTER_ADDR: "10.0.0.7", MASTER_PORT: "29500" });
  assert.deepEqual([named?.MASTER_ADDR, named?.MASTER_PORT], ["10.0.0.7", "29500"]);
  assert.equal(launchVariables({ ...srun, SLURM_NNODES: "1" })?.MASTER_ADDR, "127.0.0.1");
});

test("mpirun's and PMI's variables, on one machine", () => {
  const local = {
    RANK: "1",
    WORLD_SIZE: "2",
    LOCAL_RANK: "1",
    LOCAL_WORLD_SIZE: "2",
    MASTER_ADDR: "127.0.0.1",
  };
  const mpirun = {
    OMPI_COMM_WORLD_RANK: "1",
    OMPI_COMM_WORLD_SIZE: "2",
    OMPI_COMM_WORLD_LOCAL_RANK: "1",
    OMPI_COMM_WORLD_LOCAL_SIZE: "2",
    PMIX_NAMESPACE: "prterun-host-77@1",
  };
  assert.deepEqual(launchVariables(mpirun), { ...local, MASTER_PORT: "15771" });
  const elsewhere = launchVariables({
    ...mpirun,
    OMPI_COMM_WORLD_LOCAL_SIZE: "1",
    OMPI_MCA_orte_hnp_uri: "1234.0;tcp://10.0.0.1,192.168.0.1:40000",
  });
  assert.equal(elsewhere?.MASTER_ADDR, "10.0.0.1");
  const pmi = { PMI_RANK: "1", PMI_SIZE: "2", PMI_JOBID: "77.0" };
  const hydra = { ...pmi, MPI_LOCALRANKID: "1", MPI_LOCALNRANKS: "2" };
  assert.deepEqual(launchVariables(hydra), { ...local, MASTER_PORT: "15770" });
  const cray = { ...pmi, PMI_LOCAL_RANK: "1", PMI_LOCAL_SIZE: "2" };
  assert.deepEqual(launchVariables(cray), { ...local, MASTER_PORT: "15770" });
  // Without a job's id a port has to be given: the ranks' parents differ under npx.
  const { PMI_JOBID: _, ...nameless } = hydra;
  assert.equal(launchVariables({ ...nameless, MASTER_PORT: "29500" })?.MASTER_PORT, "29500");
  // mpirun within a Slurm job: the batch script's variables are not the ranks'.
  assert.equal(launchVariables({ ...mpirun, SLURM_PROCID: "0", SLURM_NTASKS: "2" })?.RANK, "1");
});

test("one task is no mesh, and a launcher that sets RANK is left alone", () => {
  assert.equal(launchVariables({}), undefined);
  assert.equal(launchVariables({ SLURM_PROCID: "0", SLURM_NTASKS: "1" }), undefined);
  assert.equal(launchVariables({ SLURM_NTASKS: "2" }), undefined); // the shell of salloc
  assert.equal(launchVariables({ PMI_RANK: "0", PMI_SIZE: "1" }), undefined);
  assert.equal(launchVariables({ RANK: "0", SLURM_PROCID: "0", SLURM_NTASKS: "2" }), undefined);
});

test("several tasks that can't be one run are refused", () => {
  const refused = (env: Record<string, string>, message: RegExp) =>
    assert.throws(
      () => launchVariables(env),
      (error: Error & { exitCode?: number }) => {
        assert.match(error.message, message);
        return error.name === "UserError" && error.exitCode === 2;
      },
    );
  refused(
    { SLURM_PROCID: "0", SLURM_NTASKS: "2" },
    /^Slurm has started 2 tasks, and they can't be made one run: it doesn't say on which host rank 0 is\. Each would train by itself\. Set MASTER_ADDR/,
  );
  refused({ SLURM_PROCID: "2", SLURM_NTASKS: "2", SLURM_NODELIST: "a" }, /its rank is "2" of "2"/);
  const pmi = { PMI_RANK: "0", PMI_SIZE: "4" };
  refused(
    { ...pmi, MPI_LOCALRANKID: "0", MPI_LOCALNRANKS: "2" },
    /^The launcher \(PMI\) has started 4 tasks, .* on which host rank 0 is\. .*Set MASTER_ADDR to that host for every task/,
  );
  refused(
    { ...pmi, MPI_LOCALRANKID: "0", MPI_LOCALNRANKS: "4" },
    /it gives them no number in common.*Set MASTER_PORT to a free port of rank 0's host for every task/,
  );
  // Several hosts, and every task of each would take the first device.
  refused(
    { ...pmi, MASTER_ADDR: "host0", MASTER_PORT: "29500" },
    /it doesn't say which tasks share a host\. .*Set LOCAL_RANK and LOCAL_WORLD_SIZE in each task/,
  );
});

test("LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT of one's own stand in for what isn't told", () => {
  const own = { LOCAL_RANK: "1", LOCAL_WORLD_SIZE: "2", MASTER_ADDR: "host0", MASTER_PORT: "29500" };
  assert.deepEqual(launchVariables({ PMI_RANK: "3", PMI_SIZE: "4", ...own }), {
    RANK: "3",
    WORLD_SIZE: "4",
    ...own,
  });
});

test("a batch script is one process, whatever its job's tasks", () => {
  const script = { SLURM_PROCID: "0", SLURM_NTASKS: "2", ENVIRONMENT: "BATCH", SLURM_NODELIST: "a[1-2]" };
  assert.equal(launchVariables(script), undefined);
  assert.equal(tasksOfBatchScript(script), 2);
  assert.equal(tasksOfBatchScript({ ...script, SLURM_NTASKS: "1" }), undefined);
  // What srun starts in it is a task.
  const task = { ...script, SLURM_STEP_ID: "0", SLURM_JOB_ID: "7", SLURM_LOCALID: "0", SLURM_NNODES: "1" };
  assert.equal(launchVariables(task)?.WORLD_SIZE, "2");
  assert.equal(tasksOfBatchScript(task), undefined);
  // So is what mpirun starts.
  const rank = { PMI_RANK: "1", PMI_SIZE: "2", PMI_JOBID: "7", MPI_LOCALRANKID: "1", MPI_LOCALNRANKS: "2" };
  assert.equal(launchVariables({ ...script, ...rank })?.RANK, "1");
  assert.equal(tasksOfBatchScript({ ...script, ...rank }), undefined);
});

test("the first host of a list", () => {
  for (const [list, host] of Object.entries({
    node: "node",
    "a,b": "a",
    "node[003-010,12]": "node003",
    "gpu-a[1,3]-ib,gpu-b1": "gpu-a1-ib",
    "n[7]": "n7",
    "rack[0-3]node[1-4]": "rack0node1",
    "rack[0,2]node[05-07],other": "rack0node05",
  }))
    assert.equal(firstHost(list), host);
});
