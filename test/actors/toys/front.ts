// A user's program, or a cell: runs an actor of training on a YAML file. Prints the message of the error that ends it.
//   front.ts code|notebook ACTOR FILE [OVERRIDE…]
import {
  type ActorClass,
  Config,
  EvaluatorActor,
  InferencerActor,
  runActor,
  TrainerActor,
} from "../../../src/index.ts";
import { installPresenter } from "../../../src/notebook/index.ts";
import { TestScreen } from "../../../src/notebook/testing.ts";

const [front, name, file, ...overrides] = process.argv.slice(2) as [string, string, string];
if (front === "notebook") installPresenter(new TestScreen());
const classes: Record<string, ActorClass> = { TrainerActor, EvaluatorActor, InferencerActor };
try {
  await runActor(
    classes[name]!,
    Config.fromYaml(file, overrides),
    front === "notebook" ? {} : { presenter: false },
  );
} catch (error) {
  process.stderr.write(`error: ${(error as Error).message}\n`);
  process.exit(2);
}
