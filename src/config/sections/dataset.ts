// One data set, as training.datasets and eval.datasets list them. Reading it is the data layer's part.
import { z } from "zod";

import { key, requiredKey, section } from "../schema/key.ts";

/** The forms that rows can have, and the fields of each that `columns` can rename. */
export const datasetFields = {
  alpaca: ["instruction", "input", "output", "system", "history", "tools"],
  instruction: ["instruction", "input", "output", "system", "history", "tools"],
  sharegpt: ["conversations", "system", "tools"],
  messages: ["messages", "system", "tools"],
  prompt_completion: ["prompt", "completion", "system", "tools"],
  text: ["text"],
  tokenized: ["input_ids", "labels"],
} as const;

export type DatasetFormat = keyof typeof datasetFields;

const formats = ["auto", ...(Object.keys(datasetFields) as DatasetFormat[])] as const;

export const dataset = section("One data set.", {
  path: requiredKey(z.string().min(1), {
    doc: "A JSONL, JSON, Parquet or CSV file, a folder of such files, or a data set of the Hugging Face hub (org/name or hf://org/name).",
  }),
  subset: key(z.string().min(1).nullable(), {
    default: null,
    doc: 'The hub data set\'s configuration ("subset"), where it has several.',
  }),
  split: key(
    z
      .string()
      .regex(
        /^[\w.-]+(\[(-?\d+%?)?:(-?\d+%?)?\])?$/,
        "a split such as train, or part of one such as train[:95%] or train[100:200]",
      ),
    {
      default: "train",
      doc: "The split, or part of one: train, train[:95%], train[95%:], train[100:200]. A local file is one split, train.",
      advice: "train[:95%] and train[95%:] make training and evaluation data that do not overlap.",
    },
  ),
  format: key(z.enum(formats), {
    default: "auto",
    doc: "Form of the rows. auto finds it from the columns. alpaca and instruction have the same columns: alpaca wraps them in Alpaca's wording, instruction takes them as they are.",
  }),
  columns: key(z.record(z.string(), z.string().min(1)), {
    default: {},
    doc: "Renames columns: field of the format to column of the data, e.g. {instruction: question, output: answer}.",
  }),
});
