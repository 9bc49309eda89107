// The training section: batch, length, steps, precision, data.
import { z } from "zod";

import { key, section } from "../schema/key.ts";
import { dataset } from "./dataset.ts";

export const training = section("Batch, length, steps, precision and data of the training.", {
  local_batch_size: key(z.int().min(1), {
    default: 1,
    doc: "Packs (or padded rows) of seq_len tokens that one rank computes at once.",
    unit: "sequences",
    advice: "Raise it when memory allows; lower it when memory runs out.",
  }),
  global_batch_size: key(z.int().min(1).or(z.literal(-1)), {
    default: -1,
    doc: "Packs per step over all ranks: local_batch_size × data_parallel_replicate_degree × data_parallel_shard_degree × accumulation steps. -1 means no accumulation.",
    unit: "sequences",
  }),
  seq_len: key(z.int().min(1), {
    default: 2048,
    doc: "Longest sequence, and length of a pack.",
    unit: "tokens",
    advice:
      "Halve it when memory runs out, or when the rows are short. `forge data stats` shows their lengths.",
  }),
  max_norm: key(z.number().positive().nullable(), {
    default: 1.0,
    doc: "Gradients are scaled down so that their global norm is at most this. null turns clipping off.",
    advice: "Lower it to 0.5 when the loss is unstable. The norm before clipping is logged as grad_norm.",
  }),
  steps: key(z.int().min(1), {
    default: 1000,
    doc: "Optimizer steps of the whole run. Where training.epochs is given, what that comes to.",
    unit: "steps",
    advice: "10 to 100 for a quick test.",
  }),
  epochs: key(z.number().positive().nullable(), {
    default: null,
    doc: "How often each row is trained; 0.5 is every other row once. It says how long the run is, whatever training.steps is. The rows are tokenized and counted before the first step; the last step is filled up with rows of the next epoch.",
    unit: "epochs",
    advice: "1 to 3 for fine-tuning. Streams take training.steps.",
  }),
  compile: key(z.boolean(), {
    default: false,
    doc: "Compile the model before training.",
  }),
  dataset: key(z.string().min(1).nullable(), {
    default: null,
    doc: "The training data: a file, a folder, or a data set of the hub, split train, form found from the columns. c4, c4_test and c4_validation are torchtitan's: parts of allenai/c4, which are streamed.",
    advice: "For a split, a format, other columns or several data sets, use training.datasets.",
  }),
  datasets: key(z.array(dataset), {
    default: [],
    doc: "The training data as a list, rows of all in one shuffle. In place of training.dataset; one of the two a run needs.",
  }),
  message_transform: key(z.string().min(1).nullable(), {
    default: null,
    doc: "A function of your own that makes messages of a row, in place of its form: FILE#NAME, the file that exports it and its name, e.g. ./rows.ts#toMessages. It gets a row and gives [{role, content}, …], or {messages, tools}; the same for the same row. It is used for the data sets of training and eval whose format is auto.",
    advice: "`forge data preview` shows what it makes.",
  }),
  stream: key(z.boolean(), {
    default: false,
    doc: "Read the training data as it comes, shard by shard, in its own order: nothing of a hub's data set is stored, and no row is waited for that isn't needed yet. One data set at a time.",
    advice:
      "For data that is larger than the disk, or than is trained on. Other data is shuffled as a whole.",
  }),
  train_on: key(z.enum(["assistant", "last", "all"]), {
    default: "assistant",
    doc: "Which tokens are trained: every assistant message, only the last one, or all messages but the system's.",
  }),
  generation_marks: key(z.boolean(), {
    default: true,
    doc: "Where the chat template marks with {% generation %} what is trained, go by its marks (assistant and last). false finds the answers without them, end token included.",
  }),
  packed: key(z.boolean(), {
    default: true,
    doc: "Put several rows into one sequence of seq_len tokens, attention kept inside each row. false pads to the longest row of the batch.",
  }),
  on_overlong: key(z.enum(["truncate", "drop", "error", "split"]), {
    default: "truncate",
    defaultNote: "truncate, or split where training.dataset is c4, c4_test or c4_validation",
    doc: "What happens to a row of more than seq_len tokens. Truncated and dropped rows are counted and reported. split, for plain text: rows follow each other without a gap, and one that is cut goes on in the next sequence.",
  }),
  on_bad_row: key(z.enum(["error", "skip"]), {
    default: "error",
    doc: "What happens to a row that can't be read: stop with file, line and reason, or leave it out and count it.",
  }),
  trainable: key(z.array(z.string().min(1)), {
    default: [],
    defaultNote: "[]: all",
    doc: "The parameters that are trained; all others are frozen. Each entry is the name of a parameter, of a module, or the last parts of one, with * for anything (lm_head, self_attn, *norm*), or a range of layers as Python writes it: layers[-4:], layers[:2].mlp. One that matches nothing is an error.",
    advice: "For adapters use the adapter section.",
  }),
  dtype: key(z.enum(["float32", "bfloat16"]), {
    default: "float32",
    doc: "Type of the parameters; that of the moments is optimizer.state_dtype.",
    advice: "bfloat16 halves their memory, and loses precision in small updates.",
  }),
  mixed_precision_param: key(z.enum(["bfloat16", "float32"]), {
    default: "bfloat16",
    defaultNote: "bfloat16, or float32 where processes.with_gpus is false",
    doc: "Type that parameters and activations have in forward and backward.",
  }),
  mixed_precision_reduce: key(z.enum(["float32", "bfloat16"]), {
    default: "float32",
    doc: "Type in which gradients are added up over the ranks.",
  }),
  seed: key(z.int().min(0).nullable(), {
    default: null,
    doc: "Seed of everything random but the order of the data. null draws one, which is logged and kept with the run.",
  }),
  data_seed: key(z.int().min(0), {
    default: 42,
    doc: "Seed of the order of the data.",
  }),
  deterministic: key(z.boolean(), {
    default: false,
    doc: "Use only deterministic operators: the same numbers in every run on the same machine, at some cost in speed.",
  }),
  enable_cpu_offload: key(z.boolean(), {
    default: false,
    doc: "Keep parameters, gradients and optimizer state in CPU memory, and bring parameters to the device block by block.",
    advice:
      "Slower; for models whose training does not fit into the GPU's memory. Needs processes.with_gpus.",
  }),
  gc_freq: key(z.int().min(1), {
    default: 50,
    doc: "Steps between two forced garbage collections of the worker.",
    unit: "steps",
  }),
});
