// The data sets that torchtitan knows by name, as data sets of the hub. They are streamed.
// Source: torchtitan/hf_datasets/text_datasets.py. Its c4_test lies in its repository: the first 2,000 rows of C4.

/** A data set that stands behind a name. */
interface NamedDataset {
  readonly path: string;
  readonly subset: string;
  readonly split: string;
}

const c4 = { path: "allenai/c4", subset: "en" };

const datasets: Readonly<Record<string, NamedDataset>> = {
  c4: { ...c4, split: "train" },
  c4_test: { ...c4, split: "train[:2000]" },
  c4_validation: { ...c4, split: "validation" },
};

export const isTorchtitanDataset = (name: string): boolean => Object.hasOwn(datasets, name);

/** What a name of torchtitan's stands for. */
export const torchtitanDataset = (name: string): NamedDataset | undefined =>
  isTorchtitanDataset(name) ? datasets[name] : undefined;
