# Python's side of bench/dispatch.ts: one JSON request per line {"case": name, "calls": n}, one line back: nanoseconds
# a call. Nothing here is timed but the loop itself.
import json
import sys
import time

import torch

torch.set_num_threads(1)

one = torch.ones(1)
other = torch.ones(1)
left = torch.ones(1, requires_grad=True)
right = torch.ones(1, requires_grad=True)
x = torch.randn(1, 8)
weight = torch.randn(8, 8, requires_grad=True)
bias = torch.randn(8, requires_grad=True)
matrix = torch.randn(4, 6)
linear = torch.nn.functional.linear


def add(calls):
    for _ in range(calls):
        torch.add(one, other)


def add_autograd(calls):
    for _ in range(calls):
        torch.add(left, right)


def linear_backward(calls):
    for _ in range(calls):
        torch.autograd.grad(linear(x, weight, bias).sum(), (weight, bias))


def linear_backward_accumulate(calls):
    for _ in range(calls):
        linear(x, weight, bias).sum().backward()
        weight.grad = None
        bias.grad = None


def views(calls):
    for _ in range(calls):
        matrix.view(6, 4).transpose(0, 1).view(2, 2, 6).transpose(1, 2)


cases = {f.__name__: f for f in (add, add_autograd, linear_backward, linear_backward_accumulate, views)}

for line in sys.stdin:
    request = json.loads(line)
    run = cases[request["case"]]
    start = time.perf_counter_ns()
    run(request["calls"])
    print((time.perf_counter_ns() - start) / request["calls"], flush=True)
