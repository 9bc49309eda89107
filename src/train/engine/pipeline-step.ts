// Runs this rank's part of a pipeline schedule: its stages' passes over the microbatches, in order, with messages to and from
// the neighbouring stages. A microbatch is one packed row. What a pass over a stage computes is block-run.ts's; the order is
// the schedule's alone.
import { irecv, isend, type Work } from "../../comm/index.ts";
import type { Batch } from "../../data/index.ts";
import type { Decoder, DecoderLayer } from "../../models/index.ts";
import {
  makeForwardSchedule,
  makeSchedule,
  messagesBetween,
  type Action,
  type ContextRegion,
  type Message,
  type Pipeline,
  type Schedule,
  type Stage,
} from "../../parallel/index.ts";
import { mixSeeds } from "../../nn/index.ts";
import { empty, noGrad, scope, type Tensor } from "../../torch/index.ts";
import {
  BlockRun,
  keepActivations,
  keepWeightBackward,
  type LayerActivations,
  type StepOptions,
  type WeightBackward,
} from "./block-run.ts";
import { sequencesOf, toMicroBatch, withDropout, type MicroBatch } from "./micro-batch.ts";

/** What a stage keeps of a microbatch. */
interface Flight {
  activations: LayerActivations[];
  /** The head's input, on the last stage. */
  hidden?: Tensor;
  weights?: WeightBackward[];
  /** The embedding's, on the first stage of a schedule that splits backward. */
  gradient?: Tensor;
  /** Of the experts, on the last stage: the tokens that each one got in all stages. */
  counts?: Tensor | undefined;
}

export interface PipelineRunParts {
  readonly model: Decoder;
  readonly pipeline: Pipeline;
  /** The ranks among which rows are sharded. */
  readonly context?: ContextRegion | undefined;
  readonly options: StepOptions;
}

export class PipelineRun {
  readonly #model: Decoder;
  readonly #pipeline: Pipeline;
  readonly #run: BlockRun;
  readonly #context: ContextRegion | undefined;

  constructor({ model, pipeline, context, options }: PipelineRunParts) {
    this.#model = model;
    this.#pipeline = pipeline;
    this.#context = context;
    this.#run = new BlockRun(model, options, pipeline);
  }

  /**
   * Adds the gradients of `scale` x (sum of token losses) of all batches to this stage's parameters. All ranks of the
   * pipeline call it with the same batches.
   * @param seed of the step's dropout
   * @returns that sum, on every rank of the pipeline
   */
  gradients(batches: readonly Batch[], scale: number, seed: number | undefined): number {
    const { schedule: name, group } = this.#pipeline.at;
    // GPipe holds every microbatch of a schedule, so each batch has one of its own; the others hold few, and with one
    // schedule for all batches ranks stand idle at its ends only.
    const parts = batches.map((batch) => sequencesOf(batch));
    const rounds = name === "GPipe" ? parts : [parts.flat()];
    let loss = 0;
    for (const [i, rows] of rounds.entries()) {
      const schedule = makeSchedule(name, group.size, rows.length);
      const own = seed === undefined ? undefined : mixSeeds(seed, i);
      loss += this.#play(schedule, rows, { scale, backward: true, last: i === rounds.length - 1, seed: own });
    }
    return this.#pipeline.sum(loss);
  }

  /**
   * The sum of token losses, without gradients, on every rank of the pipeline.
   * @param rowsAtLeast passes of every pipeline, however many rows its ranks have: shards gather in each pass together
   */
  loss(batch: Batch, rowsAtLeast: number): number {
    const { schedule: name, group } = this.#pipeline.at;
    const rows = sequencesOf(batch, rowsAtLeast);
    const schedule = makeForwardSchedule(name, group.size, rows.length);
    const loss = noGrad(() => this.#play(schedule, rows, { scale: 1, backward: false, last: false }));
    return this.#pipeline.sum(loss);
  }

  /** Returns this rank's part of the loss: other than 0 on the last stage's alone. */
  #play(
    schedule: Schedule,
    rows: readonly Batch[],
    how: { scale: number; backward: boolean; last: boolean; seed?: number | undefined },
  ): number {
    using _ = scope();
    const micro = rows.map((row, i) =>
      withDropout(toMicroBatch(row, this.#model.device, this.#context), how.seed, i),
    );
    const { at } = this.#pipeline;
    const own = schedule.order[at.group.rank]!;
    const { device } = this.#model;
    const mail = new Mail(schedule, this.#pipeline, this.#run, (i) => {
      // Of each rank its shard of the sequence, where a region divides it.
      const tokens = micro[i]!.tokens.size(0);
      const rows = this.#pipeline.region?.rowsOf(tokens) ?? tokens;
      const dtype = how.backward ? this.#run.dtype : this.#model.dtype;
      const activation = empty([rows, this.#model.config.hiddenSize], { dtype, device });
      if (!how.backward || !this.#run.balance.isOn) return [activation];
      // Forward the tokens that each expert got so far, backward those of all stages.
      return [activation, this.#run.balance.makeCounts()];
    });
    const flights = new Map<string, Flight>();
    let loss = 0;
    for (const [i, action] of own.entries()) {
      mail.expect(action);
      if (own[i + 1] !== undefined) mail.expect(own[i + 1]!);
      const isLastOfKind = !own
        .slice(i + 1)
        .some((one) => one.stage === action.stage && one.kind === action.kind);
      const last = how.last && action.kind !== "forward" && isLastOfKind;
      this.#pipeline.begin({ backward: how.backward, last });
      const batch = micro[action.microbatch]!;
      loss += this.#act(action, { batch, flights, mail, ...how, split: schedule.splitsBackward });
    }
    mail.finish();
    return loss;
  }

  #act(
    action: Action,
    given: {
      batch: MicroBatch;
      flights: Map<string, Flight>;
      mail: Mail;
      scale: number;
      backward: boolean;
      split: boolean;
    },
  ): number {
    const { batch, flights, mail, scale, split } = given;
    const { kind, stage: index, microbatch } = action;
    const stage = this.#pipeline.at.stages[index]!;
    const key = `${index} ${microbatch}`;
    const hasEmbedding = stage.start === 0;
    const hasHead = stage.end === this.#headBlock + 1;
    const run = this.#run;
    using s = scope();
    if (kind === "forward" && !given.backward) {
      const [x] = hasEmbedding ? [run.embedOnly(batch)] : mail.take(action);
      const output = run.forwardOnly(this.#layersOf(stage), x, batch);
      if (hasHead) return run.lossOnly(output, batch).item();
      mail.send(action, [s.keep(contiguous(output))]);
      return 0;
    }
    if (kind === "forward") {
      const [x, before] = hasEmbedding ? [run.embed(batch)] : mail.take(action);
      const { activations, output } = run.forward(this.#layersOf(stage), x, batch, split);
      for (const one of activations) keepActivations(s, one);
      const value = s.keep(contiguous(output.detach()));
      const counts = run.balance.countsOf(activations, before);
      if (counts !== undefined) s.keep(counts);
      flights.set(key, hasHead ? { activations, hidden: value, counts } : { activations });
      if (!hasHead) mail.send(action, counts === undefined ? [value] : [value, counts]);
      return 0;
    }
    const flight = flights.get(key)!;
    if (kind === "weight-backward") {
      run.backwardWeights(flight.weights!);
      if (flight.gradient !== undefined) {
        run.embedBackward(batch, flight.gradient);
        flight.gradient.dispose();
      }
      flights.delete(key);
      return 0;
    }
    let loss = 0;
    let gradient: Tensor | undefined;
    let counts: Tensor | undefined;
    if (hasHead) {
      const found = run.head(flight.hidden!, batch, scale);
      flight.hidden!.dispose();
      loss = found.loss.item();
      gradient = found.gradX;
      counts = flight.counts && run.balance.sumCounts(flight.counts, batch);
    } else if (mail.brings(action)) [gradient, counts] = mail.take(action);
    const balance = run.balance.lossOf(flight.activations, batch, { counts, scale });
    if (balance !== undefined) loss += balance.loss.item();
    if (split) {
      const found = run.backwardInputs(flight.activations, gradient, batch, balance);
      for (const one of found.weights) keepWeightBackward(s, one);
      flight.weights = found.weights;
      gradient = found.gradient;
      if (hasEmbedding && gradient !== undefined) flight.gradient = s.keep(gradient);
    } else {
      gradient = run.backward(flight.activations, gradient, batch, balance);
      if (hasEmbedding && gradient !== undefined) run.embedBackward(batch, gradient);
      flights.delete(key);
    }
    if (hasEmbedding || !mail.carries(action)) counts?.dispose();
    else {
      // With experts whose load is balanced, the stages below wait for the counts.
      const value = s.keep(contiguous(gradient ?? mail.emptyParcel(microbatch)[0]));
      mail.send(action, counts === undefined ? [value] : [value, counts]);
    }
    return loss;
  }

  get #headBlock(): number {
    return this.#model.config.numLayers + 1;
  }

  #layersOf({ start, end }: Stage): DecoderLayer[] {
    return this.#model.layers.filter(({ index }) => index + 1 >= start && index + 1 < end);
  }
}

/** What one message carries; its first tensor is an activation, or the gradient of one. */
type Parcel = [Tensor, ...Tensor[]];

/** Messages between stages. Each pair of ranks has one queue in either direction, in the sender's order. */
class Mail {
  readonly #pipeline: Pipeline;
  readonly #run: BlockRun;
  readonly #stages: number;
  readonly #roomFor: (microbatch: number) => Parcel;
  readonly #queues = new Map<number, Message[]>();
  readonly #arriving = new Map<string, { parcel: Parcel; works: readonly Work<Tensor>[] }>();
  #sending: { tensor: Tensor; work: Work<void> }[] = [];

  /** @param roomFor makes the tensors that a message of a microbatch fills */
  constructor(
    schedule: Schedule,
    pipeline: Pipeline,
    run: BlockRun,
    roomFor: (microbatch: number) => Parcel,
  ) {
    this.#pipeline = pipeline;
    this.#run = run;
    this.#stages = schedule.stages;
    this.#roomFor = roomFor;
    const { group } = pipeline.at;
    for (let from = 0; from < group.size; from++)
      if (from !== group.rank) {
        const messages = messagesBetween(schedule, from, group.rank);
        this.#queues.set(
          from,
          messages.filter((one) => this.carries(one)),
        );
      }
  }

  /** Whether the stages send a message of this kind: no gradient goes to where nothing is trained. */
  carries({ kind, stage }: Pick<Action, "kind" | "stage">): boolean {
    const { start } = this.#pipeline.at.stages[stage]!;
    return kind !== "backward" || this.#run.balance.isOn || this.#run.needsInputGradient(start);
  }

  /** Whether a pass waits for a message. */
  brings(action: Action): boolean {
    return this.#needOf(action) !== undefined;
  }

  /** What a message of a microbatch carries where there is nothing to say: zeros. */
  emptyParcel(microbatch: number): Parcel {
    const parcel = this.#roomFor(microbatch);
    for (const tensor of parcel) tensor.zero_();
    return parcel;
  }

  /** The message that a pass needs, where it needs one. */
  #needOf({ kind, stage, microbatch }: Action): Message | undefined {
    if (kind === "weight-backward") return undefined;
    const from = kind === "forward" ? stage - 1 : stage + 1;
    if (from < 0 || from >= this.#stages) return undefined;
    const need = { kind, stage: from, microbatch };
    return this.carries(need) ? need : undefined;
  }

  /** Begins to receive what a pass needs, and all that its sender sends before it. */
  expect(action: Action): void {
    const need = this.#needOf(action);
    if (need === undefined || this.#arriving.has(keyOf(need))) return;
    const { rankOf, group, back } = this.#pipeline.at;
    const from = rankOf[need.stage]!;
    // A stage of this rank hands over what it has when it has it.
    if (from === group.rank) return;
    const queue = this.#queues.get(from)!;
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const parcel = this.#roomFor(next.microbatch);
      const by = { group: from < group.rank ? group : back };
      const works = parcel.map((tensor) => irecv(tensor, group.ranks[from]!, by));
      this.#arriving.set(keyOf(next), { parcel, works });
      if (keyOf(next) === keyOf(need)) return;
    }
  }

  /** Waits for what a pass needs. The tensors are the caller's. */
  take(action: Action): Parcel {
    const key = keyOf(this.#needOf(action)!);
    const { parcel, works } = this.#arriving.get(key)!;
    this.#arriving.delete(key);
    for (const work of works) work.wait();
    return parcel;
  }

  /** Sends what a pass made, contiguous, to the stage that needs it. Takes the tensors. */
  send({ kind, stage, microbatch }: Action, parcel: Parcel): void {
    const { rankOf, group, back } = this.#pipeline.at;
    const to = rankOf[kind === "forward" ? stage + 1 : stage - 1]!;
    if (to === group.rank) {
      const key = keyOf({ kind: kind as Message["kind"], stage, microbatch });
      this.#arriving.set(key, { parcel, works: [] });
      return;
    }
    this.#sending = this.#sending.filter((one) => !settled(one));
    const by = { group: group.rank < to ? group : back };
    for (const tensor of parcel) this.#sending.push({ tensor, work: isend(tensor, group.ranks[to]!, by) });
  }

  /** Waits until everything is sent. */
  finish(): void {
    for (const { work, tensor } of this.#sending) {
      work.wait();
      tensor.dispose();
    }
    this.#sending = [];
  }
}

const contiguous = (tensor: Tensor): Tensor =>
  tensor.isContiguous() ? tensor : noGrad(() => tensor.contiguous());

const keyOf = ({ kind, stage, microbatch }: Message): string => `${kind} ${stage} ${microbatch}`;

function settled({ work, tensor }: { work: Work<void>; tensor: Tensor }): boolean {
  if (!work.isCompleted()) return false;
  work.wait();
  tensor.dispose();
  return true;
}
