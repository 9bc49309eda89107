// Generated from src/config/sections by scripts/generate-config-docs.ts; do not edit.
// The types of a resolved configuration (…Section) and of what Config.create takes (…Input), each key with its
// documentation, which editors show on hover.

/** `${section.key}` or `${oc.env:VAR,default}`, allowed wherever a value is. */
export type Interpolation = `${string}\${${string}}${string}`;

/** One data set, resolved. */
export interface DatasetSpec {
  /**
   * A JSONL, JSON, Parquet or CSV file, a folder of such files, or a data set of the Hugging Face hub (org/name or hf://org/name).
   */
  readonly path: string;
  /**
   * The hub data set's configuration ("subset"), where it has several.
   * @default null
   */
  readonly subset: string | null;
  /**
   * The split, or part of one: train, train[:95%], train[95%:], train[100:200]. A local file is one split, train.
   * train[:95%] and train[95%:] make training and evaluation data that do not overlap.
   * @default "train"
   */
  readonly split: string;
  /**
   * Form of the rows. auto finds it from the columns. alpaca and instruction have the same columns: alpaca wraps them in Alpaca's wording, instruction takes them as they are.
   * @default "auto"
   */
  readonly format: "auto" | "alpaca" | "instruction" | "sharegpt" | "messages" | "prompt_completion" | "text" | "tokenized";
  /**
   * Renames columns: field of the format to column of the data, e.g. {instruction: question, output: answer}.
   * @default {}
   */
  readonly columns: Record<string, string>;
}

/** One data set of training.datasets or eval.datasets. */
export interface DatasetInput {
  /**
   * A JSONL, JSON, Parquet or CSV file, a folder of such files, or a data set of the Hugging Face hub (org/name or hf://org/name).
   */
  readonly path?: string | undefined;
  /**
   * The hub data set's configuration ("subset"), where it has several.
   * @default null
   */
  readonly subset?: string | null | undefined;
  /**
   * The split, or part of one: train, train[:95%], train[95%:], train[100:200]. A local file is one split, train.
   * train[:95%] and train[95%:] make training and evaluation data that do not overlap.
   * @default "train"
   */
  readonly split?: string | undefined;
  /**
   * Form of the rows. auto finds it from the columns. alpaca and instruction have the same columns: alpaca wraps them in Alpaca's wording, instruction takes them as they are.
   * @default "auto"
   */
  readonly format?: "auto" | "alpaca" | "instruction" | "sharegpt" | "messages" | "prompt_completion" | "text" | "tokenized" | Interpolation | undefined;
  /**
   * Renames columns: field of the format to column of the data, e.g. {instruction: question, output: answer}.
   * @default {}
   */
  readonly columns?: Record<string, string> | Interpolation | undefined;
}

/** Where a run keeps its files, and what it is called. */
export interface JobSection {
  /**
   * Folder that holds one folder per run: metrics.jsonl, TensorBoard files, logs, the resolved configuration and relative checkpoint folders.
   * `forge runs` lists what lies there.
   * @default "./outputs"
   */
  readonly dump_folder: string;
  /**
   * Name of the run, and of its folder under job.dump_folder. null makes one from the date, the time and the model.
   * Give a fixed name to a run that is to resume by itself when it is started again.
   * @default null
   */
  readonly name: string | null;
  /**
   * Free text that is kept with the run and shown by `forge runs`.
   * @default ""
   */
  readonly description: string;
}

/** Which model is trained. */
export interface ModelSection {
  /**
   * Architecture family, e.g. llama3, llama2, mistral, mixtral, qwen2, qwen3, qwen3_moe, smollm2. null takes it from config.json of model.hf_assets_path.
   * config.json decides; a family given here that disagrees with it is an error.
   * @default null
   */
  readonly name: string | null;
  /**
   * Size within the family, e.g. 8B, 70B, 405B, 135M, debugmodel. null takes it from config.json of model.hf_assets_path.
   * config.json decides; a flavor given here that disagrees with it is an error.
   * @default null
   */
  readonly flavor: string | null;
  /**
   * The model: a folder with config.json, tokenizer.json, tokenizer_config.json and safetensors weights, or hf://org/name for a model of the Hugging Face hub.
   * `forge download org/name --output-dir DIR` makes such a folder.
   */
  readonly hf_assets_path: string;
  /**
   * The chat template: one of the model's by its name (default, tool_use …), a file, or a template's text. null takes the model's own: for rows with tools its tool_use, where it has one. The trained model keeps it.
   * `forge data preview` shows the text that it makes.
   * @default null
   */
  readonly chat_template: string | null;
}

/** The worker processes of a run on this machine. */
export interface ProcessesSection {
  /**
   * Number of worker processes; each is one rank.
   * Unit: processes.
   * With GPUs, the number of GPUs. A launcher (torchrun, srun, mpirun) sets it through WORLD_SIZE: the value here then gives way.
   * @default 1
   */
  readonly procs: number;
  /**
   * Whether each process takes one GPU (its local rank). false trains on the CPU.
   * true wherever there are GPUs: on a CPU only small models are trained in useful time.
   * @default false
   */
  readonly with_gpus: boolean;
  /**
   * How many times the processes are started again, from the last complete checkpoint, after one of them died.
   * Unit: restarts.
   * @default 0
   */
  readonly max_restarts: number;
}

/** The optimizer. */
export interface OptimizerSection {
  /**
   * Kind of optimizer: AdamW (decoupled weight decay) or Adam (weight decay added to the gradient).
   * @default "AdamW"
   */
  readonly name: "AdamW" | "Adam";
  /**
   * Peak learning rate, reached after warm-up.
   * Fine-tuning: 1e-6 to 1e-4. If the loss explodes, lower it; if training is too slow, raise it a little.
   * @default 0.00001
   */
  readonly lr: number;
  /**
   * Decay of the running mean of the gradient.
   * @default 0.9
   */
  readonly beta1: number;
  /**
   * Decay of the running mean of the squared gradient.
   * @default 0.95
   */
  readonly beta2: number;
  /**
   * Added to the denominator of the update, for numerical stability.
   * @default 1e-8
   */
  readonly eps: number;
  /**
   * Strength of the weight decay. 0 turns it off.
   * @default 0.1
   */
  readonly weight_decay: number;
  /**
   * How the update is computed: one fused operator for all parameters, lists of tensors, or one parameter at a time. Same result up to rounding.
   * fused, unless you are debugging the update.
   * @default "fused"
   */
  readonly implementation: "fused" | "foreach" | "for-loop";
  /**
   * Update each layer's weights as soon as their gradients are complete, and free these: gradients of one layer take memory at a time, and not those of the whole model. The norm of all gradients is not known then, so training.max_norm limits the norm of each layer's gradients by itself; with max_norm null the result is the same bit for bit. Not with accumulation or pipeline parallelism.
   * Where gradients don't fit: they take as much memory as the weights.
   * @default false
   */
  readonly in_backward: boolean;
  /**
   * How the two moments of each weight are held: float32 (8 bytes a weight), bfloat16 (4), or int8 (2.03), 8-bit codes with a scale for up to 256 numbers of a row: bitsandbytes' dynamic map, whose steps are small for small numbers, since second moments span many decades. Norms and biases stay float32 with int8. The update itself is computed in float32.
   * int8 where memory is short; on a CPU its update takes five times as long. bfloat16 with stochastic_rounding where beta2 is above 0.99.
   * @default "float32"
   */
  readonly state_dtype: "float32" | "bfloat16" | "int8";
  /**
   * Round bfloat16 weights (training.dtype) and bfloat16 moments up or down at random, so that small updates count in the mean and aren't lost. The random numbers follow from training.seed, the step and the weight: the same in a run that resumes, and however it is divided among ranks.
   * For training.dtype bfloat16, whose updates are smaller than a weight's last digit.
   * @default false
   */
  readonly stochastic_rounding: boolean;
}

/** How the learning rate changes over the run. */
export interface LrSchedulerSection {
  /**
   * Steps over which the learning rate rises linearly from 0 to optimizer.lr: the factor is (i+1)/warmup_steps at step index i.
   * Unit: steps.
   * 5 to 10 % of training.steps: 10 to 50 in a short run, 100 to 200 up to 5000 steps, 200 to 500 beyond.
   * @default 200, or a fifth of training.steps in a run of fewer than 1000 steps
   */
  readonly warmup_steps: number;
  /**
   * Part of training.steps, at the end, over which the learning rate decays. null decays from the end of the warm-up on.
   * 0.1 to 0.2 gives warm-up, stable phase, decay (WSD).
   * @default null
   */
  readonly decay_ratio: number | null;
  /**
   * Shape of the decay with progress p: 1-p, 1-sqrt(p) or (1+cos(pi p))/2.
   * @default "linear"
   */
  readonly decay_type: "linear" | "sqrt" | "cosine";
  /**
   * Where the decay ends, as a factor of optimizer.lr.
   * @default 0
   */
  readonly min_lr_factor: number;
}

/** Batch, length, steps, precision and data of the training. */
export interface TrainingSection {
  /**
   * Packs (or padded rows) of seq_len tokens that one rank computes at once.
   * Unit: sequences.
   * Raise it when memory allows; lower it when memory runs out.
   * @default 1
   */
  readonly local_batch_size: number;
  /**
   * Packs per step over all ranks: local_batch_size × data_parallel_replicate_degree × data_parallel_shard_degree × accumulation steps. -1 means no accumulation.
   * Unit: sequences.
   * @default -1
   */
  readonly global_batch_size: number;
  /**
   * Longest sequence, and length of a pack.
   * Unit: tokens.
   * Halve it when memory runs out, or when the rows are short. `forge data stats` shows their lengths.
   * @default 2048
   */
  readonly seq_len: number;
  /**
   * Gradients are scaled down so that their global norm is at most this. null turns clipping off.
   * Lower it to 0.5 when the loss is unstable. The norm before clipping is logged as grad_norm.
   * @default 1
   */
  readonly max_norm: number | null;
  /**
   * Optimizer steps of the whole run. Where training.epochs is given, what that comes to.
   * Unit: steps.
   * 10 to 100 for a quick test.
   * @default 1000
   */
  readonly steps: number;
  /**
   * How often each row is trained; 0.5 is every other row once. It says how long the run is, whatever training.steps is. The rows are tokenized and counted before the first step; the last step is filled up with rows of the next epoch.
   * Unit: epochs.
   * 1 to 3 for fine-tuning. Streams take training.steps.
   * @default null
   */
  readonly epochs: number | null;
  /**
   * Compile the model before training.
   * @default false
   */
  readonly compile: boolean;
  /**
   * The training data: a file, a folder, or a data set of the hub, split train, form found from the columns. c4, c4_test and c4_validation are torchtitan's: parts of allenai/c4, which are streamed.
   * For a split, a format, other columns or several data sets, use training.datasets.
   * @default null
   */
  readonly dataset: string | null;
  /**
   * The training data as a list, rows of all in one shuffle. In place of training.dataset; one of the two a run needs.
   * @default []
   */
  readonly datasets: DatasetSpec[];
  /**
   * A function of your own that makes messages of a row, in place of its form: FILE#NAME, the file that exports it and its name, e.g. ./rows.ts#toMessages. It gets a row and gives [{role, content}, …], or {messages, tools}; the same for the same row. It is used for the data sets of training and eval whose format is auto.
   * `forge data preview` shows what it makes.
   * @default null
   */
  readonly message_transform: string | null;
  /**
   * Read the training data as it comes, shard by shard, in its own order: nothing of a hub's data set is stored, and no row is waited for that isn't needed yet. One data set at a time.
   * For data that is larger than the disk, or than is trained on. Other data is shuffled as a whole.
   * @default false
   */
  readonly stream: boolean;
  /**
   * Which tokens are trained: every assistant message, only the last one, or all messages but the system's.
   * @default "assistant"
   */
  readonly train_on: "assistant" | "last" | "all";
  /**
   * Where the chat template marks with {% generation %} what is trained, go by its marks (assistant and last). false finds the answers without them, end token included.
   * @default true
   */
  readonly generation_marks: boolean;
  /**
   * Put several rows into one sequence of seq_len tokens, attention kept inside each row. false pads to the longest row of the batch.
   * @default true
   */
  readonly packed: boolean;
  /**
   * What happens to a row of more than seq_len tokens. Truncated and dropped rows are counted and reported. split, for plain text: rows follow each other without a gap, and one that is cut goes on in the next sequence.
   * @default truncate, or split where training.dataset is c4, c4_test or c4_validation
   */
  readonly on_overlong: "truncate" | "drop" | "error" | "split";
  /**
   * What happens to a row that can't be read: stop with file, line and reason, or leave it out and count it.
   * @default "error"
   */
  readonly on_bad_row: "error" | "skip";
  /**
   * The parameters that are trained; all others are frozen. Each entry is the name of a parameter, of a module, or the last parts of one, with * for anything (lm_head, self_attn, *norm*), or a range of layers as Python writes it: layers[-4:], layers[:2].mlp. One that matches nothing is an error.
   * For adapters use the adapter section.
   * @default []: all
   */
  readonly trainable: (string)[];
  /**
   * Type of the parameters; that of the moments is optimizer.state_dtype.
   * bfloat16 halves their memory, and loses precision in small updates.
   * @default "float32"
   */
  readonly dtype: "float32" | "bfloat16";
  /**
   * Type that parameters and activations have in forward and backward.
   * @default bfloat16, or float32 where processes.with_gpus is false
   */
  readonly mixed_precision_param: "bfloat16" | "float32";
  /**
   * Type in which gradients are added up over the ranks.
   * @default "float32"
   */
  readonly mixed_precision_reduce: "float32" | "bfloat16";
  /**
   * Seed of everything random but the order of the data. null draws one, which is logged and kept with the run.
   * @default null
   */
  readonly seed: number | null;
  /**
   * Seed of the order of the data.
   * @default 42
   */
  readonly data_seed: number;
  /**
   * Use only deterministic operators: the same numbers in every run on the same machine, at some cost in speed.
   * @default false
   */
  readonly deterministic: boolean;
  /**
   * Keep parameters, gradients and optimizer state in CPU memory, and bring parameters to the device block by block.
   * Slower; for models whose training does not fit into the GPU's memory. Needs processes.with_gpus.
   * @default false
   */
  readonly enable_cpu_offload: boolean;
  /**
   * Steps between two forced garbage collections of the worker.
   * Unit: steps.
   * @default 50
   */
  readonly gc_freq: number;
}

/** Training a small adapter of the model instead of the model itself. */
export interface AdapterSection {
  /**
   * The kind of adapter: lora (low-rank updates of matrices), rslora (the same, scaled by alpha / √rank), dora (which also learns the rows' lengths); none trains the model itself.
   * lora. Learning rates are about ten times those of training the whole model: 1e-4 to 3e-4.
   * @default "none"
   */
  readonly method: "none" | "lora" | "rslora" | "dora";
  /**
   * Rank of the updates (PEFT: r).
   * 8 to 64. More learns more, and costs memory and time.
   * @default 16
   */
  readonly rank: number;
  /**
   * An update is multiplied by alpha / rank, with rslora by alpha / √rank (PEFT: lora_alpha).
   * @default 32
   */
  readonly alpha: number;
  /**
   * Probability with which an element of an adapter's input is dropped in training (PEFT: lora_dropout).
   * @default 0
   */
  readonly dropout: number;
  /**
   * The layers that get an adapter: all-linear, every linear layer but the head; a list of names or last parts of names, e.g. [q_proj, v_proj]; or a regular expression of whole names.
   * @default "all-linear"
   */
  readonly target_modules: string | (string)[];
  /**
   * Other ranks of some layers, by regular expressions of the last parts of their names, e.g. {down_proj: 8}.
   * @default {}
   */
  readonly rank_pattern: Record<string, number>;
  /**
   * Other alphas of some layers, as rank_pattern.
   * @default {}
   */
  readonly alpha_pattern: Record<string, number>;
  /**
   * Modules that are trained themselves and kept with the adapter, by how their names end: lm_head, embed_tokens, model.norm (the last one), norm (all of them).
   * @default []
   */
  readonly modules_to_save: (string)[];
  /**
   * The decoder layers that get adapters: a range as Python writes it, from the first up to but not including the last: 8:16, :8, or -4: for the last four. null: all.
   * @default null
   */
  readonly layers: string | null;
  /**
   * How an adapter begins: default draws lora_A as PyTorch draws a linear layer, and lora_B is zero; orthogonal draws both so that their product is zero. Ranks must be even for it.
   * @default "default"
   */
  readonly init: "default" | "orthogonal";
  /**
   * Which biases of the model are trained: none.
   * @default "none"
   */
  readonly bias: "none";
  /**
   * The learning rate of lora_B and of DoRA's magnitudes is this many times that of lora_A (LoRA+).
   * 2 to 16; then lower optimizer.lr.
   * @default 1
   */
  readonly lora_plus_ratio: number;
  /**
   * An adapter that the run starts from: a folder with adapter_config.json, as PEFT and torchforge write it. The file says what kind of adapter it is; of this section only method (lora stands for any), dropout and lora_plus_ratio may be given beside it. eval, generate and chat answer with it.
   * @default null
   */
  readonly initial_load_path: string | null;
}

/** Keeping the frozen weights of the model in fewer bits. */
export interface QuantizeSection {
  /**
   * How the matrices of linear layers are kept that an adapter leaves as they are: nf4 (4 bits, as QLoRA and bitsandbytes), int8 or fp8 (8 bits with a scale a row); none: in training.dtype. Embedding, head, norms, routers and experts stay as they are. Needs an adapter. A model whose files are in nf4 is kept so in any case.
   * nf4 where the model doesn't fit otherwise: about a quarter of bfloat16's memory.
   * @default "none"
   */
  readonly base: "none" | "nf4" | "int8" | "fp8";
  /**
   * With nf4: the scales of the blocks are quantized, too, which takes 4.13 in place of 4.5 bits a weight (bitsandbytes: bnb_4bit_use_double_quant).
   * @default true
   */
  readonly double_quant: boolean;
}

/** How the work is divided. The product of the replicate, shard, context, tensor and pipeline degrees is the number of processes. */
export interface ParallelismSection {
  /**
   * Copies of the (sharded) model, each on other data.
   * Unit: ranks.
   * @default 1
   */
  readonly data_parallel_replicate_degree: number;
  /**
   * Ranks over which parameters, gradients and optimizer state are sharded (FSDP). -1 takes what the other degrees leave.
   * Unit: ranks.
   * -1 is right in most runs.
   * @default -1
   */
  readonly data_parallel_shard_degree: number;
  /**
   * Ranks over which each layer's matrices are split.
   * Unit: ranks.
   * For models that do not fit with sharding alone; keep it within one machine.
   * @default 1
   */
  readonly tensor_parallel_degree: number;
  /**
   * Stages into which the layers are divided.
   * Unit: ranks.
   * For models that do not fit on one machine.
   * @default 1
   */
  readonly pipeline_parallel_degree: number;
  /**
   * Ranks over which each sequence is cut: each has a chunk of its head and one of its tail. Parameters are sharded over them, too.
   * Unit: ranks.
   * For very long sequences.
   * @default 1
   */
  readonly context_parallel_degree: number;
  /**
   * Ranks over which the experts of a mixture-of-experts model are divided. Taken from the shard and context ranks. It must divide the model's experts.
   * Unit: ranks.
   * @default 1
   */
  readonly expert_parallel_degree: number;
  /**
   * Ranks over which each expert's matrices are split: 1 or tensor_parallel_degree. With 1 the expert degree is taken from the tensor ranks, too. It matters with expert parallelism alone: without it they are split as all others are.
   * Unit: ranks.
   * @default 1
   */
  readonly expert_tensor_parallel_degree: number;
  /**
   * Gather the logits before the loss under tensor parallelism, in place of a loss over vocabulary shards.
   * @default false
   */
  readonly disable_loss_parallel: boolean;
  /**
   * Whether parameters are freed after forward and gathered again in backward. default: always, but never with pipeline parallelism.
   * never is faster and takes more memory.
   * @default "default"
   */
  readonly fsdp_reshard_after_forward: "default" | "always" | "never";
  /**
   * When the gradients of sharded parameters are reduced over the ranks: after every pass, so that no rank ever holds whole gradients, or once a step, after its last pass; until then each rank adds up its own, in the type of mixed_precision_reduce. auto: once with pipeline parallelism, whose stages run many passes a step, every_pass otherwise. The results differ by rounding alone.
   * `forge plan` shows what once sends and holds. every_pass where whole gradients of a rank's layers don't fit.
   * @default "auto"
   */
  readonly fsdp_reduce_gradients: "auto" | "every_pass" | "once";
  /**
   * Order in which a pipeline stage runs its microbatches.
   * @default "1F1B"
   */
  readonly pipeline_parallel_schedule: "1F1B" | "Interleaved1F1B" | "GPipe" | "ZBVZeroBubble";
  /**
   * How keys and values travel between the ranks of a sequence. allgather: all to all ranks at once, kept for backward; alltoall: round a ring, a rank's at a time.
   * alltoall takes less memory and sends about twice as much.
   * @default "allgather"
   */
  readonly context_parallel_rotate_method: "allgather" | "alltoall";
}

/** Loading, saving and resuming. */
export interface CheckpointSection {
  /**
   * Whether the run saves checkpoints and resumes from them. The initial weights are loaded in any case.
   * @default true
   */
  readonly enable: boolean;
  /**
   * Where checkpoints are saved, each in step-N. A relative folder lies in the run's own folder. If it holds a complete checkpoint, the run resumes from the latest.
   * Made if it is not there. Each checkpoint takes about three times the model in float32.
   * @default "checkpoint"
   */
  readonly folder: string;
  /**
   * Steps between two checkpoints. The last step always saves.
   * Unit: steps.
   * @default 500
   */
  readonly interval: number;
  /**
   * Where the run starts from: a Hugging Face folder, or a step-N folder of torchforge, from which it resumes in full.
   * @default null: the weights of model.hf_assets_path
   */
  readonly initial_load_path: string | null;
  /**
   * Whether the initial weights are in Hugging Face's form. false without initial_load_path starts from random weights.
   * @default true
   */
  readonly initial_load_in_hf: boolean;
  /**
   * Whether the finished model is exported as a Hugging Face folder, which Transformers, vLLM and llama.cpp load as it is: step-N-hf beside the last checkpoint, or, with last_save_model_only, the last step-N itself.
   * @default true
   */
  readonly last_save_in_hf: boolean;
  /**
   * Whether the last save holds the weights alone. Without what a resume needs, a finished run can't be trained further.
   * true saves disk space: a checkpoint to resume from takes about three times the model.
   * @default false
   */
  readonly last_save_model_only: boolean;
  /**
   * Type of the exported weights.
   * bfloat16 halves the size.
   * @default "float32"
   */
  readonly export_dtype: "float32" | "bfloat16" | "float16";
  /**
   * Files for other programs that are made of the exported model when the run is finished, in step-N-gguf: GGUF for llama.cpp and Ollama, a file of each type. Each is read again and compared with the model.
   * [gguf:Q4_K_M] is what most people run. `npx torchforge export MODEL --output-dir DIR` makes them later. Needs memory for the model once more.
   * @default []
   */
  readonly export: ("gguf:F32" | "gguf:F16" | "gguf:BF16" | "gguf:Q8_0" | "gguf:Q6_K" | "gguf:Q5_K_M" | "gguf:Q4_K_M" | "gguf:Q4_0")[];
  /**
   * Whether training goes on while a checkpoint is written. The last save always waits.
   * @default "disabled"
   */
  readonly async_mode: "disabled" | "async" | "async_with_pinned_mem";
  /**
   * How many checkpoints are kept; older ones are removed. 0 keeps all. 1 is refused: a broken save would leave none.
   * Unit: checkpoints.
   * @default 10
   */
  readonly keep_latest_k: number;
  /**
   * Also keep the checkpoint with the lowest evaluation loss, however old it is. An evaluation that is better than all before it saves one, whatever checkpoint.interval says. Of several data sets it is the mean over the tokens of all.
   * Needs eval.datasets and eval.eval_every_n_steps.
   * @default false
   */
  readonly keep_best: boolean;
  /**
   * The step from which a run resumes. -1 is the latest complete one.
   * Unit: steps.
   * @default -1
   */
  readonly load_step: number;
  /**
   * Parts of a checkpoint that a resume leaves aside.
   * @default []
   */
  readonly exclude_from_loading: ("optimizer" | "lr_scheduler" | "dataloader" | "train_state")[];
  /**
   * Refuse to resume with a configuration that changes the numbers. false names in the first lines what has changed.
   * @default false
   */
  readonly strict_resume: boolean;
  /**
   * Load and resume, but save nothing.
   * @default false
   */
  readonly load_only: boolean;
  /**
   * Save after the first step too, to find out early that saving works.
   * @default false
   */
  readonly enable_first_step_checkpoint: boolean;
  /**
   * Save the initial state as step-0 and end, in one process; runs on any mesh can then start from it.
   * @default false
   */
  readonly create_seed_checkpoint: boolean;
}

/** Recomputing activations in the backward pass in place of keeping them: less memory, slower steps. */
export interface ActivationCheckpointSection {
  /**
   * none keeps all activations; full keeps the input of each layer only; selective recomputes what selective_ac_option says.
   * none where memory is plenty, full where it is short.
   * @default "selective"
   */
  readonly mode: "none" | "full" | "selective";
  /**
   * With mode selective: op keeps the outputs of expensive operators (matrix products, attention) and recomputes the rest; a number n recomputes every n-th layer.
   * @default "op"
   */
  readonly selective_ac_option: "op" | number;
}

/** Communication between the processes. */
export interface CommSection {
  /**
   * What moves tensors between the processes. auto: nccl between GPUs, gloo between CPUs. gloo also takes GPU tensors, by way of main memory: much slower, but several processes may then share a GPU, which nccl refuses.
   * gloo on GPUs only to try a division of the work on fewer GPUs than processes.
   * @default "auto"
   */
  readonly backend: "auto" | "nccl" | "gloo";
  /**
   * How long ranks wait for each other at the start and in the first step.
   * Unit: seconds.
   * @default 300
   */
  readonly init_timeout_seconds: number;
  /**
   * How long a rank waits for the others after the first step before the run is ended with an error.
   * Unit: seconds.
   * @default 100
   */
  readonly train_timeout_seconds: number;
  /**
   * Collectives, sends and receives that each rank remembers (flight recorder), written out when one fails or a rank ends with an error, for `forge comm analyze`. 0 turns it off.
   * Unit: calls.
   * 2000 for a run that hangs or is killed; it costs little.
   * @default 0
   */
  readonly trace_buf_size: number;
  /**
   * Folder for these traces, one folder for each start of the run. A relative folder lies in the run's own folder, before the run has one in job.dump_folder.
   * @default "comm_traces"
   */
  readonly save_traces_folder: string;
}

/** Evaluation on held-out data, every so many steps and at the end. */
export interface EvalSection {
  /**
   * Steps between two evaluations. null evaluates at the end alone; without eval.datasets there is none.
   * Unit: steps.
   * @default null
   */
  readonly eval_every_n_steps: number | null;
  /**
   * Batches of one evaluation. null is one epoch of the data.
   * Unit: batches.
   * @default null
   */
  readonly max_eval_steps: number | null;
  /**
   * The held-out data. Each data set gets its own loss, weighted by tokens.
   * @default []
   */
  readonly datasets: DatasetSpec[];
}

/** Where the metrics of the run go. */
export interface MetricLoggingSection {
  /**
   * Steps between two logged steps, in every backend.
   * Unit: steps.
   * @default 1
   */
  readonly log_every_n_steps: number;
  /** Lines and progress bar in the terminal. */
  readonly console: {
    /**
     * Write metrics to the terminal.
     * @default true
     */
    readonly enable: boolean;
    /**
     * Metrics are reduced over all ranks, and logged once.
     * @default "global_reduce"
     */
    readonly logging_mode: "global_reduce";
  };
  /** metrics.jsonl in the run's folder: one JSON object per logged step. */
  readonly jsonl: {
    /**
     * Write metrics to metrics.jsonl, which `forge plot` and `forge runs` read.
     * @default true
     */
    readonly enable: boolean;
  };
  /** TensorBoard event files. */
  readonly tensorboard: {
    /**
     * Write metrics to TensorBoard event files.
     * @default true
     */
    readonly enable: boolean;
    /**
     * Folder for the event files. A relative folder lies in the run's own folder.
     * @default "tensorboard"
     */
    readonly folder: string;
  };
}

/** Every section, every key, resolved: what a run works with. */
export interface TorchforgeConfig {
  /** Where a run keeps its files, and what it is called. */
  readonly job: JobSection;
  /** Which model is trained. */
  readonly model: ModelSection;
  /** The worker processes of a run on this machine. */
  readonly processes: ProcessesSection;
  /** The optimizer. */
  readonly optimizer: OptimizerSection;
  /** How the learning rate changes over the run. */
  readonly lr_scheduler: LrSchedulerSection;
  /** Batch, length, steps, precision and data of the training. */
  readonly training: TrainingSection;
  /** Training a small adapter of the model instead of the model itself. */
  readonly adapter: AdapterSection;
  /** Keeping the frozen weights of the model in fewer bits. */
  readonly quantize: QuantizeSection;
  /** How the work is divided. The product of the replicate, shard, context, tensor and pipeline degrees is the number of processes. */
  readonly parallelism: ParallelismSection;
  /** Loading, saving and resuming. */
  readonly checkpoint: CheckpointSection;
  /** Recomputing activations in the backward pass in place of keeping them: less memory, slower steps. */
  readonly activation_checkpoint: ActivationCheckpointSection;
  /** Communication between the processes. */
  readonly comm: CommSection;
  /** Evaluation on held-out data, every so many steps and at the end. */
  readonly eval: EvalSection;
  /** Where the metrics of the run go. */
  readonly metric_logging: MetricLoggingSection;
}

/** Where a run keeps its files, and what it is called. */
export interface JobInput {
  /**
   * Folder that holds one folder per run: metrics.jsonl, TensorBoard files, logs, the resolved configuration and relative checkpoint folders.
   * `forge runs` lists what lies there.
   * @default "./outputs"
   */
  readonly dump_folder?: string | undefined;
  /**
   * Name of the run, and of its folder under job.dump_folder. null makes one from the date, the time and the model.
   * Give a fixed name to a run that is to resume by itself when it is started again.
   * @default null
   */
  readonly name?: string | null | undefined;
  /**
   * Free text that is kept with the run and shown by `forge runs`.
   * @default ""
   */
  readonly description?: string | undefined;
}

/** Which model is trained. */
export interface ModelInput {
  /**
   * Architecture family, e.g. llama3, llama2, mistral, mixtral, qwen2, qwen3, qwen3_moe, smollm2. null takes it from config.json of model.hf_assets_path.
   * config.json decides; a family given here that disagrees with it is an error.
   * @default null
   */
  readonly name?: string | null | undefined;
  /**
   * Size within the family, e.g. 8B, 70B, 405B, 135M, debugmodel. null takes it from config.json of model.hf_assets_path.
   * config.json decides; a flavor given here that disagrees with it is an error.
   * @default null
   */
  readonly flavor?: string | null | undefined;
  /**
   * The model: a folder with config.json, tokenizer.json, tokenizer_config.json and safetensors weights, or hf://org/name for a model of the Hugging Face hub.
   * `forge download org/name --output-dir DIR` makes such a folder.
   */
  readonly hf_assets_path?: string | undefined;
  /**
   * The chat template: one of the model's by its name (default, tool_use …), a file, or a template's text. null takes the model's own: for rows with tools its tool_use, where it has one. The trained model keeps it.
   * `forge data preview` shows the text that it makes.
   * @default null
   */
  readonly chat_template?: string | null | undefined;
}

/** The worker processes of a run on this machine. */
export interface ProcessesInput {
  /**
   * Number of worker processes; each is one rank.
   * Unit: processes.
   * With GPUs, the number of GPUs. A launcher (torchrun, srun, mpirun) sets it through WORLD_SIZE: the value here then gives way.
   * @default 1
   */
  readonly procs?: number | Interpolation | undefined;
  /**
   * Whether each process takes one GPU (its local rank). false trains on the CPU.
   * true wherever there are GPUs: on a CPU only small models are trained in useful time.
   * @default false
   */
  readonly with_gpus?: boolean | Interpolation | undefined;
  /**
   * How many times the processes are started again, from the last complete checkpoint, after one of them died.
   * Unit: restarts.
   * @default 0
   */
  readonly max_restarts?: number | Interpolation | undefined;
}

/** The optimizer. */
export interface OptimizerInput {
  /**
   * Kind of optimizer: AdamW (decoupled weight decay) or Adam (weight decay added to the gradient).
   * @default "AdamW"
   */
  readonly name?: "AdamW" | "Adam" | Interpolation | undefined;
  /**
   * Peak learning rate, reached after warm-up.
   * Fine-tuning: 1e-6 to 1e-4. If the loss explodes, lower it; if training is too slow, raise it a little.
   * @default 0.00001
   */
  readonly lr?: number | Interpolation | undefined;
  /**
   * Decay of the running mean of the gradient.
   * @default 0.9
   */
  readonly beta1?: number | Interpolation | undefined;
  /**
   * Decay of the running mean of the squared gradient.
   * @default 0.95
   */
  readonly beta2?: number | Interpolation | undefined;
  /**
   * Added to the denominator of the update, for numerical stability.
   * @default 1e-8
   */
  readonly eps?: number | Interpolation | undefined;
  /**
   * Strength of the weight decay. 0 turns it off.
   * @default 0.1
   */
  readonly weight_decay?: number | Interpolation | undefined;
  /**
   * How the update is computed: one fused operator for all parameters, lists of tensors, or one parameter at a time. Same result up to rounding.
   * fused, unless you are debugging the update.
   * @default "fused"
   */
  readonly implementation?: "fused" | "foreach" | "for-loop" | Interpolation | undefined;
  /**
   * Update each layer's weights as soon as their gradients are complete, and free these: gradients of one layer take memory at a time, and not those of the whole model. The norm of all gradients is not known then, so training.max_norm limits the norm of each layer's gradients by itself; with max_norm null the result is the same bit for bit. Not with accumulation or pipeline parallelism.
   * Where gradients don't fit: they take as much memory as the weights.
   * @default false
   */
  readonly in_backward?: boolean | Interpolation | undefined;
  /**
   * How the two moments of each weight are held: float32 (8 bytes a weight), bfloat16 (4), or int8 (2.03), 8-bit codes with a scale for up to 256 numbers of a row: bitsandbytes' dynamic map, whose steps are small for small numbers, since second moments span many decades. Norms and biases stay float32 with int8. The update itself is computed in float32.
   * int8 where memory is short; on a CPU its update takes five times as long. bfloat16 with stochastic_rounding where beta2 is above 0.99.
   * @default "float32"
   */
  readonly state_dtype?: "float32" | "bfloat16" | "int8" | Interpolation | undefined;
  /**
   * Round bfloat16 weights (training.dtype) and bfloat16 moments up or down at random, so that small updates count in the mean and aren't lost. The random numbers follow from training.seed, the step and the weight: the same in a run that resumes, and however it is divided among ranks.
   * For training.dtype bfloat16, whose updates are smaller than a weight's last digit.
   * @default false
   */
  readonly stochastic_rounding?: boolean | Interpolation | undefined;
}

/** How the learning rate changes over the run. */
export interface LrSchedulerInput {
  /**
   * Steps over which the learning rate rises linearly from 0 to optimizer.lr: the factor is (i+1)/warmup_steps at step index i.
   * Unit: steps.
   * 5 to 10 % of training.steps: 10 to 50 in a short run, 100 to 200 up to 5000 steps, 200 to 500 beyond.
   * @default 200, or a fifth of training.steps in a run of fewer than 1000 steps
   */
  readonly warmup_steps?: number | Interpolation | undefined;
  /**
   * Part of training.steps, at the end, over which the learning rate decays. null decays from the end of the warm-up on.
   * 0.1 to 0.2 gives warm-up, stable phase, decay (WSD).
   * @default null
   */
  readonly decay_ratio?: number | null | Interpolation | undefined;
  /**
   * Shape of the decay with progress p: 1-p, 1-sqrt(p) or (1+cos(pi p))/2.
   * @default "linear"
   */
  readonly decay_type?: "linear" | "sqrt" | "cosine" | Interpolation | undefined;
  /**
   * Where the decay ends, as a factor of optimizer.lr.
   * @default 0
   */
  readonly min_lr_factor?: number | Interpolation | undefined;
}

/** Batch, length, steps, precision and data of the training. */
export interface TrainingInput {
  /**
   * Packs (or padded rows) of seq_len tokens that one rank computes at once.
   * Unit: sequences.
   * Raise it when memory allows; lower it when memory runs out.
   * @default 1
   */
  readonly local_batch_size?: number | Interpolation | undefined;
  /**
   * Packs per step over all ranks: local_batch_size × data_parallel_replicate_degree × data_parallel_shard_degree × accumulation steps. -1 means no accumulation.
   * Unit: sequences.
   * @default -1
   */
  readonly global_batch_size?: number | Interpolation | undefined;
  /**
   * Longest sequence, and length of a pack.
   * Unit: tokens.
   * Halve it when memory runs out, or when the rows are short. `forge data stats` shows their lengths.
   * @default 2048
   */
  readonly seq_len?: number | Interpolation | undefined;
  /**
   * Gradients are scaled down so that their global norm is at most this. null turns clipping off.
   * Lower it to 0.5 when the loss is unstable. The norm before clipping is logged as grad_norm.
   * @default 1
   */
  readonly max_norm?: number | null | Interpolation | undefined;
  /**
   * Optimizer steps of the whole run. Where training.epochs is given, what that comes to.
   * Unit: steps.
   * 10 to 100 for a quick test.
   * @default 1000
   */
  readonly steps?: number | Interpolation | undefined;
  /**
   * How often each row is trained; 0.5 is every other row once. It says how long the run is, whatever training.steps is. The rows are tokenized and counted before the first step; the last step is filled up with rows of the next epoch.
   * Unit: epochs.
   * 1 to 3 for fine-tuning. Streams take training.steps.
   * @default null
   */
  readonly epochs?: number | null | Interpolation | undefined;
  /**
   * Compile the model before training.
   * @default false
   */
  readonly compile?: boolean | Interpolation | undefined;
  /**
   * The training data: a file, a folder, or a data set of the hub, split train, form found from the columns. c4, c4_test and c4_validation are torchtitan's: parts of allenai/c4, which are streamed.
   * For a split, a format, other columns or several data sets, use training.datasets.
   * @default null
   */
  readonly dataset?: string | null | undefined;
  /**
   * The training data as a list, rows of all in one shuffle. In place of training.dataset; one of the two a run needs.
   * @default []
   */
  readonly datasets?: readonly DatasetInput[] | Interpolation | undefined;
  /**
   * A function of your own that makes messages of a row, in place of its form: FILE#NAME, the file that exports it and its name, e.g. ./rows.ts#toMessages. It gets a row and gives [{role, content}, …], or {messages, tools}; the same for the same row. It is used for the data sets of training and eval whose format is auto.
   * `forge data preview` shows what it makes.
   * @default null
   */
  readonly message_transform?: string | null | undefined;
  /**
   * Read the training data as it comes, shard by shard, in its own order: nothing of a hub's data set is stored, and no row is waited for that isn't needed yet. One data set at a time.
   * For data that is larger than the disk, or than is trained on. Other data is shuffled as a whole.
   * @default false
   */
  readonly stream?: boolean | Interpolation | undefined;
  /**
   * Which tokens are trained: every assistant message, only the last one, or all messages but the system's.
   * @default "assistant"
   */
  readonly train_on?: "assistant" | "last" | "all" | Interpolation | undefined;
  /**
   * Where the chat template marks with {% generation %} what is trained, go by its marks (assistant and last). false finds the answers without them, end token included.
   * @default true
   */
  readonly generation_marks?: boolean | Interpolation | undefined;
  /**
   * Put several rows into one sequence of seq_len tokens, attention kept inside each row. false pads to the longest row of the batch.
   * @default true
   */
  readonly packed?: boolean | Interpolation | undefined;
  /**
   * What happens to a row of more than seq_len tokens. Truncated and dropped rows are counted and reported. split, for plain text: rows follow each other without a gap, and one that is cut goes on in the next sequence.
   * @default truncate, or split where training.dataset is c4, c4_test or c4_validation
   */
  readonly on_overlong?: "truncate" | "drop" | "error" | "split" | Interpolation | undefined;
  /**
   * What happens to a row that can't be read: stop with file, line and reason, or leave it out and count it.
   * @default "error"
   */
  readonly on_bad_row?: "error" | "skip" | Interpolation | undefined;
  /**
   * The parameters that are trained; all others are frozen. Each entry is the name of a parameter, of a module, or the last parts of one, with * for anything (lm_head, self_attn, *norm*), or a range of layers as Python writes it: layers[-4:], layers[:2].mlp. One that matches nothing is an error.
   * For adapters use the adapter section.
   * @default []: all
   */
  readonly trainable?: readonly (string)[] | Interpolation | undefined;
  /**
   * Type of the parameters; that of the moments is optimizer.state_dtype.
   * bfloat16 halves their memory, and loses precision in small updates.
   * @default "float32"
   */
  readonly dtype?: "float32" | "bfloat16" | Interpolation | undefined;
  /**
   * Type that parameters and activations have in forward and backward.
   * @default bfloat16, or float32 where processes.with_gpus is false
   */
  readonly mixed_precision_param?: "bfloat16" | "float32" | Interpolation | undefined;
  /**
   * Type in which gradients are added up over the ranks.
   * @default "float32"
   */
  readonly mixed_precision_reduce?: "float32" | "bfloat16" | Interpolation | undefined;
  /**
   * Seed of everything random but the order of the data. null draws one, which is logged and kept with the run.
   * @default null
   */
  readonly seed?: number | null | Interpolation | undefined;
  /**
   * Seed of the order of the data.
   * @default 42
   */
  readonly data_seed?: number | Interpolation | undefined;
  /**
   * Use only deterministic operators: the same numbers in every run on the same machine, at some cost in speed.
   * @default false
   */
  readonly deterministic?: boolean | Interpolation | undefined;
  /**
   * Keep parameters, gradients and optimizer state in CPU memory, and bring parameters to the device block by block.
   * Slower; for models whose training does not fit into the GPU's memory. Needs processes.with_gpus.
   * @default false
   */
  readonly enable_cpu_offload?: boolean | Interpolation | undefined;
  /**
   * Steps between two forced garbage collections of the worker.
   * Unit: steps.
   * @default 50
   */
  readonly gc_freq?: number | Interpolation | undefined;
}

/** Training a small adapter of the model instead of the model itself. */
export interface AdapterInput {
  /**
   * The kind of adapter: lora (low-rank updates of matrices), rslora (the same, scaled by alpha / √rank), dora (which also learns the rows' lengths); none trains the model itself.
   * lora. Learning rates are about ten times those of training the whole model: 1e-4 to 3e-4.
   * @default "none"
   */
  readonly method?: "none" | "lora" | "rslora" | "dora" | Interpolation | undefined;
  /**
   * Rank of the updates (PEFT: r).
   * 8 to 64. More learns more, and costs memory and time.
   * @default 16
   */
  readonly rank?: number | Interpolation | undefined;
  /**
   * An update is multiplied by alpha / rank, with rslora by alpha / √rank (PEFT: lora_alpha).
   * @default 32
   */
  readonly alpha?: number | Interpolation | undefined;
  /**
   * Probability with which an element of an adapter's input is dropped in training (PEFT: lora_dropout).
   * @default 0
   */
  readonly dropout?: number | Interpolation | undefined;
  /**
   * The layers that get an adapter: all-linear, every linear layer but the head; a list of names or last parts of names, e.g. [q_proj, v_proj]; or a regular expression of whole names.
   * @default "all-linear"
   */
  readonly target_modules?: string | (string)[] | undefined;
  /**
   * Other ranks of some layers, by regular expressions of the last parts of their names, e.g. {down_proj: 8}.
   * @default {}
   */
  readonly rank_pattern?: Record<string, number> | Interpolation | undefined;
  /**
   * Other alphas of some layers, as rank_pattern.
   * @default {}
   */
  readonly alpha_pattern?: Record<string, number> | Interpolation | undefined;
  /**
   * Modules that are trained themselves and kept with the adapter, by how their names end: lm_head, embed_tokens, model.norm (the last one), norm (all of them).
   * @default []
   */
  readonly modules_to_save?: readonly (string)[] | Interpolation | undefined;
  /**
   * The decoder layers that get adapters: a range as Python writes it, from the first up to but not including the last: 8:16, :8, or -4: for the last four. null: all.
   * @default null
   */
  readonly layers?: string | null | undefined;
  /**
   * How an adapter begins: default draws lora_A as PyTorch draws a linear layer, and lora_B is zero; orthogonal draws both so that their product is zero. Ranks must be even for it.
   * @default "default"
   */
  readonly init?: "default" | "orthogonal" | Interpolation | undefined;
  /**
   * Which biases of the model are trained: none.
   * @default "none"
   */
  readonly bias?: "none" | Interpolation | undefined;
  /**
   * The learning rate of lora_B and of DoRA's magnitudes is this many times that of lora_A (LoRA+).
   * 2 to 16; then lower optimizer.lr.
   * @default 1
   */
  readonly lora_plus_ratio?: number | Interpolation | undefined;
  /**
   * An adapter that the run starts from: a folder with adapter_config.json, as PEFT and torchforge write it. The file says what kind of adapter it is; of this section only method (lora stands for any), dropout and lora_plus_ratio may be given beside it. eval, generate and chat answer with it.
   * @default null
   */
  readonly initial_load_path?: string | null | undefined;
}

/** Keeping the frozen weights of the model in fewer bits. */
export interface QuantizeInput {
  /**
   * How the matrices of linear layers are kept that an adapter leaves as they are: nf4 (4 bits, as QLoRA and bitsandbytes), int8 or fp8 (8 bits with a scale a row); none: in training.dtype. Embedding, head, norms, routers and experts stay as they are. Needs an adapter. A model whose files are in nf4 is kept so in any case.
   * nf4 where the model doesn't fit otherwise: about a quarter of bfloat16's memory.
   * @default "none"
   */
  readonly base?: "none" | "nf4" | "int8" | "fp8" | Interpolation | undefined;
  /**
   * With nf4: the scales of the blocks are quantized, too, which takes 4.13 in place of 4.5 bits a weight (bitsandbytes: bnb_4bit_use_double_quant).
   * @default true
   */
  readonly double_quant?: boolean | Interpolation | undefined;
}

/** How the work is divided. The product of the replicate, shard, context, tensor and pipeline degrees is the number of processes. */
export interface ParallelismInput {
  /**
   * Copies of the (sharded) model, each on other data.
   * Unit: ranks.
   * @default 1
   */
  readonly data_parallel_replicate_degree?: number | Interpolation | undefined;
  /**
   * Ranks over which parameters, gradients and optimizer state are sharded (FSDP). -1 takes what the other degrees leave.
   * Unit: ranks.
   * -1 is right in most runs.
   * @default -1
   */
  readonly data_parallel_shard_degree?: number | Interpolation | undefined;
  /**
   * Ranks over which each layer's matrices are split.
   * Unit: ranks.
   * For models that do not fit with sharding alone; keep it within one machine.
   * @default 1
   */
  readonly tensor_parallel_degree?: number | Interpolation | undefined;
  /**
   * Stages into which the layers are divided.
   * Unit: ranks.
   * For models that do not fit on one machine.
   * @default 1
   */
  readonly pipeline_parallel_degree?: number | Interpolation | undefined;
  /**
   * Ranks over which each sequence is cut: each has a chunk of its head and one of its tail. Parameters are sharded over them, too.
   * Unit: ranks.
   * For very long sequences.
   * @default 1
   */
  readonly context_parallel_degree?: number | Interpolation | undefined;
  /**
   * Ranks over which the experts of a mixture-of-experts model are divided. Taken from the shard and context ranks. It must divide the model's experts.
   * Unit: ranks.
   * @default 1
   */
  readonly expert_parallel_degree?: number | Interpolation | undefined;
  /**
   * Ranks over which each expert's matrices are split: 1 or tensor_parallel_degree. With 1 the expert degree is taken from the tensor ranks, too. It matters with expert parallelism alone: without it they are split as all others are.
   * Unit: ranks.
   * @default 1
   */
  readonly expert_tensor_parallel_degree?: number | Interpolation | undefined;
  /**
   * Gather the logits before the loss under tensor parallelism, in place of a loss over vocabulary shards.
   * @default false
   */
  readonly disable_loss_parallel?: boolean | Interpolation | undefined;
  /**
   * Whether parameters are freed after forward and gathered again in backward. default: always, but never with pipeline parallelism.
   * never is faster and takes more memory.
   * @default "default"
   */
  readonly fsdp_reshard_after_forward?: "default" | "always" | "never" | Interpolation | undefined;
  /**
   * When the gradients of sharded parameters are reduced over the ranks: after every pass, so that no rank ever holds whole gradients, or once a step, after its last pass; until then each rank adds up its own, in the type of mixed_precision_reduce. auto: once with pipeline parallelism, whose stages run many passes a step, every_pass otherwise. The results differ by rounding alone.
   * `forge plan` shows what once sends and holds. every_pass where whole gradients of a rank's layers don't fit.
   * @default "auto"
   */
  readonly fsdp_reduce_gradients?: "auto" | "every_pass" | "once" | Interpolation | undefined;
  /**
   * Order in which a pipeline stage runs its microbatches.
   * @default "1F1B"
   */
  readonly pipeline_parallel_schedule?: "1F1B" | "Interleaved1F1B" | "GPipe" | "ZBVZeroBubble" | Interpolation | undefined;
  /**
   * How keys and values travel between the ranks of a sequence. allgather: all to all ranks at once, kept for backward; alltoall: round a ring, a rank's at a time.
   * alltoall takes less memory and sends about twice as much.
   * @default "allgather"
   */
  readonly context_parallel_rotate_method?: "allgather" | "alltoall" | Interpolation | undefined;
}

/** Loading, saving and resuming. */
export interface CheckpointInput {
  /**
   * Whether the run saves checkpoints and resumes from them. The initial weights are loaded in any case.
   * @default true
   */
  readonly enable?: boolean | Interpolation | undefined;
  /**
   * Where checkpoints are saved, each in step-N. A relative folder lies in the run's own folder. If it holds a complete checkpoint, the run resumes from the latest.
   * Made if it is not there. Each checkpoint takes about three times the model in float32.
   * @default "checkpoint"
   */
  readonly folder?: string | undefined;
  /**
   * Steps between two checkpoints. The last step always saves.
   * Unit: steps.
   * @default 500
   */
  readonly interval?: number | Interpolation | undefined;
  /**
   * Where the run starts from: a Hugging Face folder, or a step-N folder of torchforge, from which it resumes in full.
   * @default null: the weights of model.hf_assets_path
   */
  readonly initial_load_path?: string | null | undefined;
  /**
   * Whether the initial weights are in Hugging Face's form. false without initial_load_path starts from random weights.
   * @default true
   */
  readonly initial_load_in_hf?: boolean | Interpolation | undefined;
  /**
   * Whether the finished model is exported as a Hugging Face folder, which Transformers, vLLM and llama.cpp load as it is: step-N-hf beside the last checkpoint, or, with last_save_model_only, the last step-N itself.
   * @default true
   */
  readonly last_save_in_hf?: boolean | Interpolation | undefined;
  /**
   * Whether the last save holds the weights alone. Without what a resume needs, a finished run can't be trained further.
   * true saves disk space: a checkpoint to resume from takes about three times the model.
   * @default false
   */
  readonly last_save_model_only?: boolean | Interpolation | undefined;
  /**
   * Type of the exported weights.
   * bfloat16 halves the size.
   * @default "float32"
   */
  readonly export_dtype?: "float32" | "bfloat16" | "float16" | Interpolation | undefined;
  /**
   * Files for other programs that are made of the exported model when the run is finished, in step-N-gguf: GGUF for llama.cpp and Ollama, a file of each type. Each is read again and compared with the model.
   * [gguf:Q4_K_M] is what most people run. `npx torchforge export MODEL --output-dir DIR` makes them later. Needs memory for the model once more.
   * @default []
   */
  readonly export?: readonly ("gguf:F32" | "gguf:F16" | "gguf:BF16" | "gguf:Q8_0" | "gguf:Q6_K" | "gguf:Q5_K_M" | "gguf:Q4_K_M" | "gguf:Q4_0")[] | Interpolation | undefined;
  /**
   * Whether training goes on while a checkpoint is written. The last save always waits.
   * @default "disabled"
   */
  readonly async_mode?: "disabled" | "async" | "async_with_pinned_mem" | Interpolation | undefined;
  /**
   * How many checkpoints are kept; older ones are removed. 0 keeps all. 1 is refused: a broken save would leave none.
   * Unit: checkpoints.
   * @default 10
   */
  readonly keep_latest_k?: number | Interpolation | undefined;
  /**
   * Also keep the checkpoint with the lowest evaluation loss, however old it is. An evaluation that is better than all before it saves one, whatever checkpoint.interval says. Of several data sets it is the mean over the tokens of all.
   * Needs eval.datasets and eval.eval_every_n_steps.
   * @default false
   */
  readonly keep_best?: boolean | Interpolation | undefined;
  /**
   * The step from which a run resumes. -1 is the latest complete one.
   * Unit: steps.
   * @default -1
   */
  readonly load_step?: number | Interpolation | undefined;
  /**
   * Parts of a checkpoint that a resume leaves aside.
   * @default []
   */
  readonly exclude_from_loading?: readonly ("optimizer" | "lr_scheduler" | "dataloader" | "train_state")[] | Interpolation | undefined;
  /**
   * Refuse to resume with a configuration that changes the numbers. false names in the first lines what has changed.
   * @default false
   */
  readonly strict_resume?: boolean | Interpolation | undefined;
  /**
   * Load and resume, but save nothing.
   * @default false
   */
  readonly load_only?: boolean | Interpolation | undefined;
  /**
   * Save after the first step too, to find out early that saving works.
   * @default false
   */
  readonly enable_first_step_checkpoint?: boolean | Interpolation | undefined;
  /**
   * Save the initial state as step-0 and end, in one process; runs on any mesh can then start from it.
   * @default false
   */
  readonly create_seed_checkpoint?: boolean | Interpolation | undefined;
}

/** Recomputing activations in the backward pass in place of keeping them: less memory, slower steps. */
export interface ActivationCheckpointInput {
  /**
   * none keeps all activations; full keeps the input of each layer only; selective recomputes what selective_ac_option says.
   * none where memory is plenty, full where it is short.
   * @default "selective"
   */
  readonly mode?: "none" | "full" | "selective" | Interpolation | undefined;
  /**
   * With mode selective: op keeps the outputs of expensive operators (matrix products, attention) and recomputes the rest; a number n recomputes every n-th layer.
   * @default "op"
   */
  readonly selective_ac_option?: "op" | number | Interpolation | undefined;
}

/** Communication between the processes. */
export interface CommInput {
  /**
   * What moves tensors between the processes. auto: nccl between GPUs, gloo between CPUs. gloo also takes GPU tensors, by way of main memory: much slower, but several processes may then share a GPU, which nccl refuses.
   * gloo on GPUs only to try a division of the work on fewer GPUs than processes.
   * @default "auto"
   */
  readonly backend?: "auto" | "nccl" | "gloo" | Interpolation | undefined;
  /**
   * How long ranks wait for each other at the start and in the first step.
   * Unit: seconds.
   * @default 300
   */
  readonly init_timeout_seconds?: number | Interpolation | undefined;
  /**
   * How long a rank waits for the others after the first step before the run is ended with an error.
   * Unit: seconds.
   * @default 100
   */
  readonly train_timeout_seconds?: number | Interpolation | undefined;
  /**
   * Collectives, sends and receives that each rank remembers (flight recorder), written out when one fails or a rank ends with an error, for `forge comm analyze`. 0 turns it off.
   * Unit: calls.
   * 2000 for a run that hangs or is killed; it costs little.
   * @default 0
   */
  readonly trace_buf_size?: number | Interpolation | undefined;
  /**
   * Folder for these traces, one folder for each start of the run. A relative folder lies in the run's own folder, before the run has one in job.dump_folder.
   * @default "comm_traces"
   */
  readonly save_traces_folder?: string | undefined;
}

/** Evaluation on held-out data, every so many steps and at the end. */
export interface EvalInput {
  /**
   * Steps between two evaluations. null evaluates at the end alone; without eval.datasets there is none.
   * Unit: steps.
   * @default null
   */
  readonly eval_every_n_steps?: number | null | Interpolation | undefined;
  /**
   * Batches of one evaluation. null is one epoch of the data.
   * Unit: batches.
   * @default null
   */
  readonly max_eval_steps?: number | null | Interpolation | undefined;
  /**
   * The held-out data. Each data set gets its own loss, weighted by tokens.
   * @default []
   */
  readonly datasets?: readonly DatasetInput[] | Interpolation | undefined;
}

/** Where the metrics of the run go. */
export interface MetricLoggingInput {
  /**
   * Steps between two logged steps, in every backend.
   * Unit: steps.
   * @default 1
   */
  readonly log_every_n_steps?: number | Interpolation | undefined;
  /** Lines and progress bar in the terminal. */
  readonly console?: {
    /**
     * Write metrics to the terminal.
     * @default true
     */
    readonly enable?: boolean | Interpolation | undefined;
    /**
     * Metrics are reduced over all ranks, and logged once.
     * @default "global_reduce"
     */
    readonly logging_mode?: "global_reduce" | Interpolation | undefined;
  } | undefined;
  /** metrics.jsonl in the run's folder: one JSON object per logged step. */
  readonly jsonl?: {
    /**
     * Write metrics to metrics.jsonl, which `forge plot` and `forge runs` read.
     * @default true
     */
    readonly enable?: boolean | Interpolation | undefined;
  } | undefined;
  /** TensorBoard event files. */
  readonly tensorboard?: {
    /**
     * Write metrics to TensorBoard event files.
     * @default true
     */
    readonly enable?: boolean | Interpolation | undefined;
    /**
     * Folder for the event files. A relative folder lies in the run's own folder.
     * @default "tensorboard"
     */
    readonly folder?: string | undefined;
  } | undefined;
}

/** What `Config.create` takes: any part of the configuration; only model.hf_assets_path must be there. */
export interface ConfigInput {
  /** Where a run keeps its files, and what it is called. */
  readonly job?: JobInput | undefined;
  /** Which model is trained. */
  readonly model?: ModelInput | undefined;
  /** The worker processes of a run on this machine. */
  readonly processes?: ProcessesInput | undefined;
  /** The optimizer. */
  readonly optimizer?: OptimizerInput | undefined;
  /** How the learning rate changes over the run. */
  readonly lr_scheduler?: LrSchedulerInput | undefined;
  /** Batch, length, steps, precision and data of the training. */
  readonly training?: TrainingInput | undefined;
  /** Training a small adapter of the model instead of the model itself. */
  readonly adapter?: AdapterInput | undefined;
  /** Keeping the frozen weights of the model in fewer bits. */
  readonly quantize?: QuantizeInput | undefined;
  /** How the work is divided. The product of the replicate, shard, context, tensor and pipeline degrees is the number of processes. */
  readonly parallelism?: ParallelismInput | undefined;
  /** Loading, saving and resuming. */
  readonly checkpoint?: CheckpointInput | undefined;
  /** Recomputing activations in the backward pass in place of keeping them: less memory, slower steps. */
  readonly activation_checkpoint?: ActivationCheckpointInput | undefined;
  /** Communication between the processes. */
  readonly comm?: CommInput | undefined;
  /** Evaluation on held-out data, every so many steps and at the end. */
  readonly eval?: EvalInput | undefined;
  /** Where the metrics of the run go. */
  readonly metric_logging?: MetricLoggingInput | undefined;
}
