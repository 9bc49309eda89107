// Overloads that differ only in the type of an option are told apart by its value.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as torch from "../index.ts";

void test("options take a number, a list or a tensor, as their overloads do", () => {
  using _ = torch.scope();
  const matrix = torch.tensor([
    [2, 0],
    [0, 0.5],
  ]);
  const list = (tensor: torch.Tensor): unknown => tensor.tolist();
  // Singular values of 1 and less are dropped.
  const expected = [
    [0.5, 0],
    [0, 0],
  ];
  assert.deepEqual(list(torch.linalgPinv(matrix, { atol: 1 })), expected);
  assert.deepEqual(list(torch.linalgPinv(matrix, { atol: torch.tensor(1) })), expected);

  const values = torch.tensor([0, 1, 4, 9]);
  const first = ([gradient]: torch.Tensor[]): unknown => list(gradient!);
  const places = torch.tensor([0, 2, 4, 6]);
  assert.deepEqual(first(torch.gradient(values)), [1, 2, 4, 5]);
  const halves = [0.5, 1, 2, 2.5];
  assert.deepEqual(first(torch.gradient(values, { spacing: 2 })), halves);
  assert.deepEqual(first(torch.gradient(values, { spacing: [2] })), halves);
  assert.deepEqual(first(torch.gradient(values, { spacing: [places] })), halves);
  assert.deepEqual(first(torch.gradient(values, { spacing: [places], dim: [0] })), halves);

  assert.deepEqual(list(torch.clamp(values, { max: 4 })), [0, 1, 4, 4]);
  assert.deepEqual(list(torch.clamp(values, { max: torch.tensor([1, 0, 9, 8]) })), [0, 0, 4, 8]);
});
