// Which files a rank writes of a checkpoint, and in each which tensors, or which slices of them. Reads no values.
// One process writes whole files. Of a divided model each rank has files of its own (see safetensors/shard-files.ts), so that
// no rank ever has all of it; where the weights alone are saved, all ranks write their slices into the whole files that one
// process would write.
import { isFirstSlice, wholeShape, type FilePlace, type ShardSlice } from "../../nn/index.ts";
import { stateName, type OptimizerState } from "../../optim/index.ts";
import type { ShardOwnership } from "../../parallel/index.ts";
import {
  layoutOf,
  planModelFiles,
  shardFileName,
  shardMetadata,
  type TensorToWrite,
} from "../../safetensors/index.ts";
import type { Dtype, Tensor } from "../../torch/index.ts";
import { adapterFileName, peftPrefix } from "../hf/adapter-files.ts";
import { safetensorsDtype } from "../hf/dtypes.ts";
import { shapesInFiles, type FilePlaces } from "../hf/joined.ts";
import { withoutAliases } from "../hf/save.ts";
import { sliceOfState } from "../state-slice.ts";
import { checksumKey, optimizerName, type StateParts } from "../step/manifest.ts";
import type { Exact } from "../step/exact-json.ts";
import type { RandomState } from "../step/random.ts";
import type { CheckpointFile, SliceStart, TensorInFile } from "./job.ts";

export interface CheckpointContents {
  readonly step: number;
  /** By their Hugging Face names; of tensors that share memory the first is written. */
  readonly model: ReadonlyMap<string, Tensor>;
  /**
   * Names and whole shapes of the parameters that the checkpoint holds: those of all ranks. What `model` has beside them is
   * not saved. Default: those of `model`.
   */
  readonly saved?: ReadonlyMap<string, readonly number[]> | undefined;
  /** The model has other parameters, too: the checkpoint holds a part of it, and says so. */
  readonly isPartial?: boolean | undefined;
  /**
   * Where what is saved is an adapter: its adapter_config.json. Without an optimizer the folder is then one of PEFT's, with its
   * names in its file.
   */
  readonly adapterConfig?: string | undefined;
  /** Names under which PEFT wants a parameter once more, and whose it is: those of modules that are tied. */
  readonly tied?: ReadonlyMap<string, string> | undefined;
  /** Parameters that Hugging Face's files have as rows of a larger matrix. */
  readonly places?: FilePlaces | undefined;
  /**
   * Where the model is a part of what its folder has: how names of its own begin in files. Weights that are saved alone get the
   * rest from there.
   */
  readonly ownPrefixes?: readonly string[] | undefined;
  /** Which slices of the parameters the tensors are, the optimizer's too; without an entry one is whole. */
  readonly slices?: ReadonlyMap<string, ShardSlice> | undefined;
  /** Without it the checkpoint holds the weights alone. */
  readonly optimizer?: readonly OptimizerState[] | undefined;
  readonly parts?: StateParts | undefined;
  /** Default: the states now of the CPU's generator and of that of the device that the model is on. */
  readonly random?: RandomState | undefined;
  /** Of the run's configuration. */
  readonly configDigest?: string | undefined;
  /** See Manifest.run. */
  readonly run?: Exact | undefined;
}

export interface PlanOptions {
  /** Of the weights; default each tensor's own. Only for checkpoints without an optimizer. */
  readonly dtype?: Dtype | undefined;
  readonly maxShardBytes?: number | undefined;
  /** What of a divided model this rank saves. Default: it isn't divided. */
  readonly ownership?: ShardOwnership | undefined;
}

export interface PlannedTensor extends TensorInFile {
  readonly tensor: Tensor;
  readonly storedAs: Dtype;
}

export interface SavePlan {
  /** None of a rank whose slices another one writes. */
  readonly files: readonly CheckpointFile<PlannedTensor>[];
  /** Of weights in several files: what lies in which. */
  readonly index: readonly CheckpointFile[] | undefined;
  readonly writer: number;
  readonly writers: number;
}

/** A tensor to save: a parameter, or one of its optimizer states. */
interface Source {
  readonly group: "model" | "optimizer";
  readonly name: string;
  readonly parameter: string;
  readonly tensor: Tensor;
  readonly slice: ShardSlice | undefined;
}

export function planFiles(contents: CheckpointContents, options: PlanOptions): SavePlan {
  const { ownership } = options;
  if (ownership === undefined || ownership.count === 1) return wholeFiles(contents, options);
  const { index: writer, count: writers } = ownership;
  if (contents.optimizer === undefined)
    return { ...sharedFiles(contents, options, ownership), writer, writers };
  const files = ownership.replica > 0 ? [] : shardFiles(contents, ownership);
  return { files, index: undefined, writer, writers };
}

/** Whether the folder is to be one of PEFT's. */
export const isPeft = ({ adapterConfig, optimizer }: CheckpointContents): boolean =>
  adapterConfig !== undefined && optimizer === undefined;

/** The files of the weights, with what lies in each. */
function modelFiles<T extends Omit<TensorToWrite, "data">>(
  contents: CheckpointContents,
  tensors: readonly T[],
  maxShardBytes: number | undefined,
): { readonly file: string; readonly tensors: readonly T[] }[] {
  return isPeft(contents)
    ? [
        {
          file: adapterFileName,
          tensors: tensors.map((one) => ({ ...one, name: `${peftPrefix}${one.name}` })),
        },
      ]
    : planModelFiles(tensors, maxShardBytes);
}

function weights(contents: CheckpointContents): Source[] {
  const { model, saved, slices } = contents;
  const named = [...model.keys()]
    .filter((name) => saved?.has(name) ?? true)
    .map((name) => ({ name, parameter: name }));
  return [...named, ...againOf(contents, (parameter) => model.has(parameter))].map(({ name, parameter }) => ({
    group: "model",
    name,
    parameter,
    tensor: model.get(parameter)!,
    slice: slices?.get(parameter),
  }));
}

/** What a folder of PEFT holds under a second name. */
function againOf(
  contents: CheckpointContents,
  isThere: (parameter: string) => boolean,
): { name: string; parameter: string }[] {
  const tied = isPeft(contents) ? [...(contents.tied ?? [])] : [];
  return tied.flatMap(([name, parameter]) => (isThere(parameter) ? [{ name, parameter }] : []));
}

function states({ optimizer = [], slices }: CheckpointContents): Source[] {
  return optimizer.map((state) => ({
    group: "optimizer",
    name: stateName(state),
    parameter: state.parameter,
    tensor: state.tensor,
    slice: sliceOfState(state, slices?.get(state.parameter)),
  }));
}

function planned({ name, tensor }: Source, storedAs: Dtype = tensor.dtype): PlannedTensor {
  return { name, dtype: safetensorsDtype(storedAs), shape: [...tensor.shape], tensor, storedAs };
}

/** The files of an undivided model. */
function wholeFiles(contents: CheckpointContents, { dtype, maxShardBytes }: PlanOptions): SavePlan {
  const whole = (source: Source, storedAs?: Dtype): PlannedTensor => ({
    ...planned(source, storedAs),
    checksum: checksumKey(source.group, source.name),
  });
  const model = withoutAliases(contents.model);
  const { files, index } = ((): Pick<SavePlan, "files" | "index"> => {
    // Parts of larger matrices are written as slices of them.
    if (contents.places !== undefined && contents.places.size > 0 && !isPeft(contents))
      return sharedFiles({ ...contents, model }, { dtype, maxShardBytes });
    const tensors = weights({ ...contents, model }).map((one) => whole(one, dtype));
    const own: CheckpointFile<PlannedTensor>[] = modelFiles(contents, tensors, maxShardBytes);
    return { files: own, index: indexOf(own) };
  })();
  if (contents.optimizer === undefined) return { files, index, writer: 0, writers: 1 };
  const optimizer = { file: optimizerName, tensors: states(contents).map((one) => whole(one)) };
  return { files: [...files, optimizer], index, writer: 0, writers: 1 };
}

/** The files of one rank of a divided model. */
function shardFiles(
  contents: CheckpointContents,
  { index, saved }: ShardOwnership,
): CheckpointFile<PlannedTensor>[] {
  const fileOf = (group: Source["group"], sources: readonly Source[]): CheckpointFile<PlannedTensor> => {
    // What isn't divided with its parameter, such as a count of steps, is saved with the parameter's first slice.
    const own = sources.filter(
      ({ parameter, slice }) =>
        saved.has(parameter) && (slice !== undefined || isFirstSlice(contents.slices?.get(parameter))),
    );
    const startOf = (slice: ShardSlice | undefined) => slice ?? { start: 0 };
    return {
      file: shardFileName(group, index),
      metadata: shardMetadata(
        own.map(({ name, tensor, slice }) => ({ name, shape: tensor.shape, ...startOf(slice) })),
      ),
      tensors: own.map((one) => ({
        ...planned(one),
        checksum: checksumKey(group, one.name, startOf(one.slice)),
      })),
    };
  };
  return [fileOf("model", weights(contents)), fileOf("optimizer", states(contents))];
}

/**
 * The whole files of a divided model, with the slices that one rank writes into them. No rank can tell their checksums.
 * @param ownership default: this process writes all
 */
function sharedFiles(
  contents: CheckpointContents,
  { dtype, maxShardBytes }: PlanOptions,
  ownership?: ShardOwnership,
): Pick<SavePlan, "files" | "index"> {
  const sources = weights(contents);
  const own = sources.map(({ name, tensor, slice }) => [name, wholeShape(tensor.shape, slice)] as const);
  const storedAs = dtype ?? firstDtype(contents)!;
  const saved = contents.saved ?? new Map(own);
  const again = againOf(contents, (parameter) => saved.has(parameter));
  const places = isPeft(contents) ? undefined : contents.places;
  const shapes = shapesInFiles(
    [...saved, ...again.map(({ name, parameter }) => [name, saved.get(parameter)!] as const)],
    places,
  );
  const dtypeName = safetensorsDtype(storedAs);
  const tensors = [...shapes].map(([name, shape]) => ({ name, dtype: dtypeName, shape }));
  const wholes = modelFiles(contents, tensors, maxShardBytes);
  const prefix = isPeft(contents) ? peftPrefix : "";
  const inFile = (name: string): string => places?.get(name)?.into ?? `${prefix}${name}`;
  const isOwn = ({ parameter }: Source): boolean =>
    ownership === undefined || (ownership.replica === 0 && ownership.saved.has(parameter));
  const byName = Map.groupBy(sources.filter(isOwn), ({ name }) => inFile(name));
  const files = wholes.map((one) => ({
    file: one.file,
    layout: layoutOf(one.tensors),
    tensors: one.tensors.flatMap(({ name }) =>
      (byName.get(name) ?? []).map((source) => ({
        ...planned(source, storedAs),
        name,
        slice: sliceInFile(source.slice, places?.get(source.name)),
      })),
    ),
  }));
  return { files, index: indexOf(wholes) };
}

/** Of a slice of a parameter that is rows of a larger matrix: which slice of that. */
function sliceInFile(slice: ShardSlice | undefined, place: FilePlace | undefined): SliceStart | undefined {
  if (place === undefined) return slice;
  return { ...slice, start: place.start + (slice?.start ?? 0) };
}

/** Weights in one file need no index. Plain data: it may go to another thread. */
function indexOf(files: readonly CheckpointFile[]): CheckpointFile[] | undefined {
  if (files.length === 1) return undefined;
  return files.map(({ file, tensors }) => ({
    file,
    tensors: tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
  }));
}

/** Of the weights: what config.json names. */
export const firstDtype = ({ model }: CheckpointContents): Dtype | undefined => [...model.values()][0]?.dtype;
