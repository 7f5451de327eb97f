"""The names of ops by how they are lowered, known without TVM."""

VIEW_OPS = frozenset({"broadcast", "reshape", "transpose", "slice"})
CONSTANT_OPS = frozenset({"full", "iota"})
# Shared only: evaluated by the interpreter before a kernel runs.
PREPARED_OPS = frozenset({"inverse"})
