// The checks of `forge doctor`, one function per finding. They change nothing, and each works even if all others fail.
import { existsSync, readdirSync, statfsSync } from "node:fs";
import { totalmem } from "node:os";
import { dirname, join } from "node:path";

import { cachedRepos, hubEnvironment } from "../../../hub/index.ts";
import {
  addonTarget,
  availableMemory,
  findCompiler,
  freeDisk,
  locateLibtorch,
  minimumVersion,
  missingCompiler,
  tooOld,
  type Libtorch,
} from "../../../setup/index.ts";
import { cacheDir, messageOf, otherRuntime } from "../../../util/index.ts";
import { gib, type Finding } from "./finding.ts";
import { gpus, type Gpu } from "./gpus.ts";
import { probeTorch, type Probe, type TorchInfo } from "./probe.ts";
import { processor } from "./processor.ts";

const minimumNode = 22;
const setupCommand = "npx torchforge setup";

/** All findings, in the order in which `forge doctor` shows them. */
export function examine(env: NodeJS.ProcessEnv = process.env): Finding[] {
  const { finding: libtorchFinding, libtorch } = checkLibtorch(env);
  const addon = checkAddon(libtorch, env);
  const info = addon.probe !== undefined && "info" in addon.probe ? addon.probe.info : undefined;
  return [
    checkNode(),
    libtorchFinding,
    addon.finding,
    checkProcessor(info),
    checkGpus(libtorch, info, env),
    checkCompiler(addon.finding.status === "ok", env),
    checkThreads(info, env),
    checkMemory(),
    checkDisk(),
    checkHub(env),
  ];
}

export function checkNode(
  version: string = process.versions.node,
  versions: Readonly<Record<string, string | undefined>> = process.versions,
): Finding {
  const other = otherRuntime(versions);
  const good = Number(version.split(".")[0]) >= minimumNode && other === undefined;
  const found = other ?? version;
  const what =
    other === undefined ? "install a newer one" : "training and whatever else starts processes fail";
  return {
    name: "node",
    status: good ? "ok" : "bad",
    text: `${found}, ${process.platform} ${process.arch}`,
    todo: good ? undefined : `torchforge needs Node ${minimumNode} or later, found ${found}: ${what}.`,
    data: { version, platform: process.platform, arch: process.arch },
  };
}

function checkLibtorch(env: NodeJS.ProcessEnv): { finding: Finding; libtorch?: Libtorch } {
  const name = "libtorch";
  try {
    const { libtorch, rejected } = locateLibtorch(env);
    const rejectedTexts = rejected.map(({ from, root, reason }) => `${from} (${root}): ${reason}`);
    if (libtorch === undefined) {
      const why = rejectedTexts.length === 0 ? "" : `; passed over ${rejectedTexts.join("; ")}`;
      const todo = `Run \`${setupCommand}\`: it installs torch in a private folder. Or activate a Python environment with torch ${minimumVersion} or later, or set TORCHFORGE_LIBTORCH.`;
      return { finding: { name, status: "bad", text: `not found${why}`, todo, data: { rejected } } };
    }
    const nccl = libtorch.ncclHeaders && hasNccl(libtorch);
    const advice = rejected.length > 0 ? [`Passed over ${rejectedTexts.join("; ")}`] : [];
    if (libtorch.cuda && !nccl) {
      advice.push(
        "Several GPUs need NCCL: install the nvidia-nccl and nvidia-cuda-runtime wheels of this torch, or set " +
          `CUDA_HOME to a toolkit that has nccl.h, then run \`${setupCommand}\`.`,
      );
    }
    const parts = libtorch.cuda
      ? `CUDA build, NCCL ${nccl ? "present" : "missing"}`
      : "CPU build, no CUDA, no NCCL";
    const finding: Finding = {
      name,
      status: advice.length > 0 ? "note" : "ok",
      text: `${libtorch.version} (${parts}) from ${libtorch.from}: ${libtorch.root}`,
      todo: advice.length > 0 ? advice.join("\n") : undefined,
      data: { ...libtorch, nccl, rejected },
    };
    return { finding, libtorch };
  } catch (error) {
    return {
      finding: { name, status: "bad", text: "can't be used", todo: messageOf(error), data: {} },
    };
  }
}

/** NCCL is in a separate wheel next to torch, in torch's own folder, or in a system folder. */
function hasNccl(libtorch: Libtorch): boolean {
  const folders = [libtorch.libDir, "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"];
  folders.push(join(dirname(libtorch.root), "nvidia", "nccl", "lib"));
  return folders.some(
    (folder) => existsSync(folder) && readdirSync(folder).some((file) => file.startsWith("libnccl.so")),
  );
}

function checkAddon(
  libtorch: Libtorch | undefined,
  env: NodeJS.ProcessEnv,
): { finding: Finding; probe?: Probe } {
  const name = "addon";
  if (libtorch === undefined) {
    const todo = `It is compiled once libtorch is there: run \`${setupCommand}\`.`;
    return { finding: { name, status: "bad", text: "needs libtorch first", todo, data: { built: false } } };
  }
  const { file } = addonTarget(libtorch);
  if (!existsSync(file)) {
    const todo = `Run \`${setupCommand}\` to compile it (some minutes, once for each version of torch).`;
    return { finding: { name, status: "bad", text: "not compiled yet", todo, data: { built: false, file } } };
  }
  const probe = probeTorch(env);
  if ("error" in probe) {
    const todo = `${probe.error}\nRemove ${dirname(file)} and run \`${setupCommand}\`.`;
    const finding: Finding = {
      name,
      status: "bad",
      text: "does not load",
      todo,
      data: { built: true, file },
    };
    return { finding, probe };
  }
  const data = { built: true, file, ...probe.info };
  const finding: Finding = { name, status: "ok", text: `loads in ${probe.info.loadMs} ms: ${file}`, data };
  return { finding, probe };
}

function checkProcessor(info: TorchInfo | undefined): Finding {
  const cpu = processor();
  const capability = info?.cpuCapability ?? cpu.capability;
  const bf16 = cpu.bf16.length > 0 ? `bf16 by ${cpu.bf16.join(", ")}` : "bf16 emulated";
  return {
    name: "cpu",
    status: cpu.bf16.length > 0 ? "ok" : "note",
    text: `${cpu.model}, ${cpu.physicalCores} cores, ${capability} kernels, ${bf16}`,
    todo:
      cpu.bf16.length > 0
        ? undefined
        : "This processor has no bf16 instructions, so bfloat16 arithmetic is emulated: use float32 on the CPU.",
    data: { ...cpu, capability, nativeBf16: cpu.bf16.length > 0 },
  };
}

function checkGpus(
  libtorch: Libtorch | undefined,
  info: TorchInfo | undefined,
  env: NodeJS.ProcessEnv,
): Finding {
  const found = gpus(env);
  const visible = env["CUDA_VISIBLE_DEVICES"];
  const usable = info?.deviceCount ?? 0;
  const data = {
    gpus: found,
    usable,
    accelerator: info?.accelerator ?? null,
    cudaVisibleDevices: visible ?? null,
  };
  const name = "gpu";
  if (found.length === 0) {
    if (usable > 0) {
      const text = `${usable} ${info?.accelerator ?? ""} device${usable === 1 ? "" : "s"}`;
      return { name, status: "ok", text, data };
    }
    return { name, status: "ok", text: "none: training runs on the CPU", data };
  }
  const text =
    found.map(describeGpu).join("; ") + (visible === undefined ? "" : `; CUDA_VISIBLE_DEVICES=${visible}`);
  let todo: string | undefined;
  if (libtorch?.cuda === false) {
    todo =
      "libtorch is a CPU build, so the GPU stays idle: activate a Python environment with a CUDA build of torch.";
  } else if (info !== undefined && usable === 0 && visible !== "") {
    todo = `libtorch ${info.torchVersion} sees no GPU: its CUDA may be newer than the driver (${found[0]!.driver}).`;
  }
  return { name, status: todo === undefined ? "ok" : "note", text, todo, data };
}

function describeGpu(gpu: Gpu): string {
  return `${gpu.index}: ${gpu.name}, ${gib(gpu.freeBytes)} free of ${gib(gpu.totalBytes)}`;
}

/** Only building needs a compiler: a built addon loads without one. */
function checkCompiler(addonWorks: boolean, env: NodeJS.ProcessEnv): Finding {
  const name = "compiler";
  const missing = addonWorks ? "note" : "bad";
  try {
    const compiler = findCompiler(env);
    if (compiler === undefined) {
      return { name, status: missing, text: "none", todo: missingCompiler(), data: { found: false } };
    }
    const old = tooOld(compiler);
    const text = `${compiler.command.join(" ")}: ${compiler.version}`;
    return {
      name,
      status: old === undefined ? "ok" : missing,
      text,
      todo: old,
      data: { found: true, ...compiler },
    };
  } catch (error) {
    return { name, status: missing, text: "can't be used", todo: messageOf(error), data: { found: false } };
  }
}

function checkThreads(info: TorchInfo | undefined, env: NodeJS.ProcessEnv): Finding {
  const { physicalCores, logicalCores } = processor();
  const ompThreads = env["OMP_NUM_THREADS"];
  const threads = info?.threads ?? (Number(ompThreads) >= 1 ? Number(ompThreads) : physicalCores);
  const why = ompThreads === undefined ? "" : ` (OMP_NUM_THREADS=${ompThreads})`;
  const few = ompThreads !== undefined && threads < physicalCores;
  return {
    name: "threads",
    status: few ? "note" : "ok",
    text: `${threads} for one process${why}; ${physicalCores} physical cores, ${logicalCores} logical`,
    todo: few ? "OMP_NUM_THREADS keeps cores idle: unset it to use them all." : undefined,
    data: { threads, physicalCores, logicalCores, ompNumThreads: ompThreads ?? null },
  };
}

function checkMemory(): Finding {
  const [free, total] = [availableMemory(), totalmem()];
  const low = free < 2 * 2 ** 30;
  return {
    name: "memory",
    status: low ? "note" : "ok",
    text: `${gib(free)} free of ${gib(total)}`,
    todo: low
      ? "Little memory is free: even the smallest model needs about 2 GiB to train. Close other programs."
      : undefined,
    data: { freeBytes: free, totalBytes: total },
  };
}

function checkDisk(): Finding {
  const folders = { cache: cacheDir(), here: process.cwd() };
  const free = { cache: freeDisk(folders.cache), here: freeDisk(folders.here) };
  const sameDisk =
    existsSync(folders.cache) && statfsSync(folders.cache).blocks === statfsSync(folders.here).blocks;
  const low = Math.min(free.cache, free.here) < 5 * 2 ** 30;
  return {
    name: "disk",
    status: low ? "note" : "ok",
    text:
      `${gib(free.here)} free here` +
      (sameDisk && free.cache === free.here ? "" : `, ${gib(free.cache)} at the cache`) +
      `; cache: ${folders.cache}`,
    todo: low
      ? "Little disk is free: a model, its checkpoints and torch need several GiB. Free some, or set TORCHFORGE_CACHE and checkpoint.folder to another disk."
      : undefined,
    data: { cacheDir: folders.cache, cacheFreeBytes: free.cache, hereFreeBytes: free.here },
  };
}

function checkHub(env: NodeJS.ProcessEnv): Finding {
  const hub = hubEnvironment(env);
  const models = cachedRepos(hub.cacheDir, "model");
  const datasets = cachedRepos(hub.cacheDir, "dataset");
  const token = hub.token === undefined ? "no token (gated models need HF_TOKEN)" : "token set";
  return {
    name: "hugging face",
    status: "ok",
    text:
      `${models.length} models and ${datasets.length} datasets in ${hub.cacheDir}; ${token}` +
      (hub.offline ? "; offline (HF_HUB_OFFLINE)" : ""),
    data: {
      cacheDir: hub.cacheDir,
      endpoint: hub.endpoint,
      token: hub.token !== undefined,
      offline: hub.offline,
      models,
      datasets,
    },
  };
}
