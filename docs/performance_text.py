"""The sentences of docs/performance.md, and of the pages of other kinds of processors."""

MODES = {"train": "training step", "infer": "inference"}

HEAD = """\
# Performance

This page is written by `docs/make_performance.py` from recorded results of `rnndsl bench`, good
and bad alike.  {machine}
Other kinds of processors have pages of their own: {others}.

All implementations have the same weights.  Before anything is timed, outputs, final states and
gradients are compared with the cell's operations in float64.  Then they take turns, in one
process, on float32; the time is the median over the turns.  A turn shorter than 5 ms is several
calls, after one that is not counted.  A turn whose threads waited more than 2% of its time for a
processor that other processes had does not count, as long as there are enough others.  The
machine was shared: other programs waited while turns were timed.

Each column of a peer holds **its time by ours (above 1, ours is faster)**, and its time.

| column | who |
|---|---|
| ours | a layer with `backend="auto"`, which is TVM here; when streaming, `layer.stream()` |
| nn | nn.LSTM, nn.GRU or nn.RNN; nn.LSTMCell, nn.GRUCell or nn.RNNCell when streaming |
| eager | the cell as a loop of PyTorch operations over unbound inputs, its gates joined |
| compile, compile_cell | `torch.compile` of that loop, and of one step called in that loop |
| jax | `lax.scan` and `jit` |
| ort, ort_scan | ONNX Runtime: its LSTM, GRU or RNN; the cell's operations in a Scan, or one step as a model when streaming |

Training is a forward pass and the gradients of the input and of all parameters.  GFLOP/s count the
operations of the cell's graph (and of its derivative's), the same for everyone.  The share of the
roofline is the least time at which this machine could do these operations, and move inputs,
parameters and results once, by the time taken.  Its rates are the best of all runs:
{rates}.  In streaming the weights stay in the caches, which are faster than
that: shares there may pass 100%.  `predicted` is what the compiler's cost model expects of its
plan.  The spread is half the distance between the quartiles, by the median, of the least steady
column.
"""

TARGETS = """\
## Targets

Of {count} targets {met} are met as they stand.  Where our time is within 75% of the roofline, so
much is the target: that decides {near} more.  `lowest` and the number of cases are those of the
target as it stands.
"""

ROOFLINE = """\
## Roofline

![rates against operations per byte](performance/{kind}/roofline.svg)

A point is a cell at a shape.  The line is what this machine could do at most, the broken one 75%
of it.
"""

COMPILE = """\
## Compile time

From the making of a layer to the end of its first training step (forward and backward, T = 35,
B = 20, D = H = 200), less the time of a later step, without imports, each in a process of its own
on one thread: with an empty cache on disk, likewise at T = 100, and with the kernels on disk.  Where
there were several rounds it is their median, beside the least and the most.{later}
"""
ANEW = """  The system gives
the later step its memory anew, as it did the first: what that takes is no compiling.\
"""

TORCH_COMPILE = """\
Beside it `torch.compile` of one step, and of the loop over all 35 steps: processor time of the first
training step beyond a later one, with nothing compiled before (`docs/measure_torch_compile.py`).
"""

CALLS = """\
## Short calls

One sequence of 100 steps, on two threads: how much of a call its kernels take, and what remains if
all else took no time (`docs/measure_calls.py`).  The rest is Python and PyTorch: checks, memory for
results, and when training autograd.  Each step needs all recurrent weights, at H = 128 256 KiB for
the LSTM, out of the cores' second caches.
"""

LENGTHS = """\
## Memory against length

![memory and time against T](performance/{kind}/lengths.svg)

One training step of an LSTM, B = {batch}, D = H = 256, without the gradient of the input: the
growth of the process's resident memory from before input and target are made to its peak, each in
a process of its own.{least}  The budget is a tenth of what the step without one holds beyond input,
target, output and the output's gradient.  The process grows by more than these and the budget:
by gradients, by what kernels hold while they run, and by memory that was freed and is kept.
"""

LEAST = """  The times are
the least of {again} steps after that one.\
"""

LONGEST = """\
The longest sequence whose training step keeps the whole process within {limit:g} GB, B = {batch},
D = H = {size}: from the growth between two lengths, then tried.
"""

TOKENS = """\
With tokens the model has an embedding before the LSTM, and 256 logits and their cross entropy behind
it.  Ours takes that block by block (`blockwise_loss`, {budget}, see memory.md); its length was tried
and is not the longest.
"""

MISSING = """\
## Who is missing
"""

NOT_RUN = """\
Not measured yet is `bench {options}`.
"""

YOURS = """\
## On your machine

```
rnndsl bench lstm --train --infer --shape 35,20,200,200 --threads 2
rnndsl bench --all --train --infer --stream --peers auto,eager,nn,jax,ort,ort_scan --json found.json --resume
```

The second command measures the library.  Ctrl-C keeps what was measured; the same command goes on
from there, since `--resume` skips what the file has.  `--steady 10` measures again whatever has a
spread above 10%, and keeps the steadier result.  A peer that is not ready within `--limit` seconds
is left out (`torch.compile` of a long loop takes minutes), as is one that is not installed; both
are named.  A cell that computes something else than its peers is an error, and is not timed.
`--within 100` begins no case after 100 seconds, and `--since 2026-11-21T14:15` measures again what is
older.  `--form` and `--passes` measure ours in another form of linear recurrences, or compiled with
other passes.  `python docs/make_performance.py --measure` measures and writes this page.
"""

RUNS = """\
## The runs

`load` is how many processes wanted to run in the last minute, at the end of each case; the
benchmark itself counts as up to 2.
"""
