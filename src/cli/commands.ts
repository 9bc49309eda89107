// The table of all commands. A command's file is loaded only when it runs, so that `forge --help` and short commands start fast.
import type { Command } from "commander";

export interface CommandModule {
  /** The command with its options, its help text with an example, and its action. */
  readonly command: () => Command;
}

export interface CommandEntry {
  readonly name: string;
  /** One line for `forge --help`. */
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}

export const commands: readonly CommandEntry[] = [
  {
    name: "quickstart",
    summary: "fine-tune a small real model on this machine, and see what changed",
    load: () => import("./commands/quickstart.ts"),
  },
  {
    name: "init",
    summary: "write a first recipe for your data on this machine",
    load: () => import("./commands/init.ts"),
  },
  {
    name: "sft",
    summary: "fine-tune a model on instruction data",
    load: () => import("./commands/sft.ts"),
  },
  {
    name: "plan",
    summary: "mesh, stages, schedule, memory and communication of a run, before it starts",
    load: () => import("./commands/plan.ts"),
  },
  {
    name: "simulate",
    summary: "run one step of a big run without its memory or its other processes, and measure what it needs",
    load: () => import("./commands/simulate.ts"),
  },
  {
    name: "verify-resume",
    summary: "prove that a run of your configuration, killed and resumed, ends bit for bit the same",
    load: () => import("./commands/verify-resume.ts"),
  },
  {
    name: "generate",
    summary: "ask a model",
    load: () => import("./commands/generate.ts"),
  },
  {
    name: "chat",
    summary: "talk with a model: several turns, or prompts of a file",
    load: () => import("./commands/chat.ts"),
  },
  {
    name: "eval",
    summary: "loss and perplexity of a model on data",
    load: () => import("./commands/eval.ts"),
  },
  {
    name: "export",
    summary: "write a model as GGUF, for llama.cpp and Ollama",
    load: () => import("./commands/export.ts"),
  },
  {
    name: "quantize",
    summary: "make a model whose linear layers are in 4 bits (nf4)",
    load: () => import("./commands/quantize.ts"),
  },
  {
    name: "merge",
    summary: "make a model of adapters and the model that they adapt",
    load: () => import("./commands/merge.ts"),
  },
  {
    name: "notebook",
    summary: "configure and run in a notebook: kernel, JupyterLab and a copy of the notebook",
    load: () => import("./commands/notebook.ts"),
  },
  {
    name: "setup",
    summary: "get libtorch and compile the addon, unless both are there",
    load: () => import("./commands/setup.ts"),
  },
  {
    name: "doctor",
    summary: "show what torchforge finds on this machine, and what to do",
    load: () => import("./commands/doctor.ts"),
  },
  {
    name: "download",
    summary: "download a model or a data set from the Hugging Face hub",
    load: () => import("./commands/download.ts"),
  },
  {
    name: "models",
    summary: "list the model families that are known, with sizes and an example",
    load: () => import("./commands/models.ts"),
  },
  {
    name: "recipes",
    summary: "list the configurations that are ready to be run, or copy one",
    load: () => import("./commands/recipes.ts"),
  },
  {
    name: "config",
    summary: "explain keys, print and check a configuration, JSON Schema, presets",
    load: () => import("./commands/config.ts"),
  },
  {
    name: "data",
    summary: "preview the training data as the model sees it, and count what becomes of its rows",
    load: () => import("./commands/data.ts"),
  },
  {
    name: "runs",
    summary: "list the runs in a folder, with step, loss and how they ended",
    load: () => import("./commands/runs.ts"),
  },
  {
    name: "plot",
    summary: "draw loss, learning rate, gradient norm and tokens/s of a run",
    load: () => import("./commands/plot.ts"),
  },
  {
    name: "comm",
    summary: "why the ranks of a run waited for each other: which rank and which call differ",
    load: () => import("./commands/comm.ts"),
  },
  {
    name: "completion",
    summary: "a script that completes commands, options and keys in bash or zsh",
    load: () => import("./commands/completion.ts"),
  },
  {
    name: "import",
    summary: "make a Hugging Face model folder out of a GGUF file",
    load: () => import("./commands/import.ts"),
  },
];
