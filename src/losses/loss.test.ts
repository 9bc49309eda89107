// A loss that is a function of log-probabilities, against autograd of the same thing in plain operators. In float64, where sums in
// another order differ by about 1e-15 relative.
import assert from "node:assert/strict";
import test from "node:test";

import { assertClose } from "../../test/assert-close.ts";
import { Linear, LMHead, RMSNorm, type TensorRegion } from "../nn/index.ts";
import {
  bfloat16,
  float32,
  float64,
  fromArray,
  grad,
  int64,
  logSigmoid,
  logSoftmax,
  manualSeed,
  randn,
  scope,
  split,
  type Dtype,
  type Tensor,
} from "../torch/index.ts";
import { crossEntropy } from "./cross-entropy.ts";
import { lossOfLogProbabilities, type LabelledTokens, type Loss } from "./loss.ts";

const [vocabulary, width, eps] = [37, 8, 1e-6];
const lengths = [5, 9, 6, 4];
const labels = [
  [3, -100, 36, 0, 12],
  [-100, -100, 7, 7, 7, 21, 30, -100, 1],
  [-100, -100, -100, -100, -100, -100],
  [2, 4, 8, 16],
].flat();

/** Documents are pairs, of which the first one should be likelier: -log sigmoid(log p(first) - log p(second)). */
function preference(logProbabilities: Tensor, tokens: LabelledTokens): Tensor {
  const sums = split(logProbabilities, tokens.lengths).map((one) => one.sum());
  return [0, 2].map((i) => logSigmoid(sums[i]!.sub(sums[i + 1]!)).neg()).reduce((sum, one) => sum.add(one));
}

const negativeSum = lossOfLogProbabilities((logProbabilities) => logProbabilities.neg().sum());

/** A tensor group of one rank: the code of divided vocabularies, without processes. */
const alone: TensorRegion = {
  rank: 0,
  size: 1,
  onHost: true,
  lossParallel: true,
  wholeExperts: false,
  gatherSequence: (x) => x,
  scatterSequence: (x) => x,
  onShard: (x, _, body) => body(x, 0),
  sumOverRanks: (x: Tensor) => x,
  reduce: (x) => x,
  joinColumns: (x) => x,
};

function setUp(dtype: Dtype = float64, region?: TensorRegion) {
  manualSeed(5);
  const norm = randn([width], { dtype }).requiresGrad_();
  const weight = randn([vocabulary, width], { dtype }).requiresGrad_();
  const x = randn([labels.length, width], { dtype }).requiresGrad_();
  const head = new LMHead(new RMSNorm(norm, eps), new Linear(weight), region);
  const tokens = { labels: fromArray(labels, { dtype: int64 }), lengths };
  return { head, norm, weight, x, tokens };
}

type SetUp = ReturnType<typeof setUp>;

/** Loss, and gradients of x, norm and weight. */
function results(
  { head, norm, weight, x, tokens }: SetUp,
  loss: Loss,
  chunk: number,
  scale = 0.25,
): Tensor[] {
  norm.grad = undefined;
  weight.grad = undefined;
  const found = loss.lossAndGradient(head, x.detach(), tokens, { scale, chunk });
  return [found.loss, found.gradX, norm.grad!, weight.grad!];
}

function plain({ norm, weight, x, tokens }: SetUp, scale = 0.25): Tensor[] {
  const normed = x.mul(x.square().mean([-1], { keepdim: true }).add(eps).rsqrt()).mul(norm);
  const all = logSoftmax(normed.matmul(weight.t()), -1);
  const isLabel = tokens.labels.ge(0);
  const own = all.gather(1, tokens.labels.clamp(0).unsqueeze(1)).squeeze(1).mul(isLabel);
  const loss = preference(own, tokens).mul(scale);
  return [loss, ...grad(loss, [x, norm, weight])];
}

for (const [name, region] of [
  ["a whole vocabulary", undefined],
  ["a divided vocabulary", alone],
] as const) {
  // From a row at a time to all rows at once.
  for (const chunk of [0, 1, vocabulary, 7 * vocabulary]) {
    test(`${name}, ${chunk} logits at once: a preference loss has the gradients of the plain composition`, () => {
      using _ = scope();
      const it = setUp(float64, region);
      const expected = plain(it);
      const found = results(it, lossOfLogProbabilities(preference), chunk);
      for (const [i, one] of found.entries()) assertClose(one, expected[i]!, { rtol: 1e-12 }, `result ${i}`);
      const { head, x, tokens } = it;
      const scalar = lossOfLogProbabilities(preference).forward(head, x, tokens, { scale: 0.25, chunk });
      assertClose(scalar, expected[0]!, { rtol: 1e-12 }, "the loss alone");
      assert.equal(scalar.requiresGrad, false);
    });

    test(`${name}, ${chunk} logits at once: weights of 1 are cross-entropy, bit for bit`, () => {
      for (const dtype of [float64, float32, bfloat16]) {
        using _ = scope();
        const it = setUp(dtype, region);
        const expected = results(it, crossEntropy, chunk);
        const found = results(it, negativeSum, chunk);
        for (const [i, one] of found.entries()) {
          // The scalar is another sum of the same numbers.
          if (i === 0) assertClose(one, expected[i]!, { rtol: 1e-6 }, "the scalar");
          else assert.ok(one.equal(expected[i]!), `result ${i} in ${dtype}`);
        }
      }
    });
  }
}

test("mixed precision: gradients of a cast head are added to the parameters", () => {
  using _ = scope();
  const it = setUp(float32);
  const expected = plain(it);
  const found = lossOfLogProbabilities(preference).lossAndGradient(
    it.head,
    it.x.detach().to(bfloat16),
    it.tokens,
    { scale: 0.25 },
  );
  assert.equal(found.gradX.dtype, bfloat16);
  assert.equal(it.weight.grad!.dtype, float32);
  // Values are rounded to 2^-9 a few times on their way.
  assertClose(it.weight.grad!, expected[3]!, { rtol: 0.05 }, "the weight's gradient");
});
