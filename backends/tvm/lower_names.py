"""The names of ops by how they are lowered, known without TVM."""

VIEW_OPS = frozenset({"broadcast", "reshape", "transpose", "slice"})
CONSTANT_OPS = frozenset({"full", "iota"})
# Shared only: evaluated by the interpreter before a kernel runs.
PREPARED_OPS = frozenset({"inverse"})

# Attribute of functions that are to be seen from outside as they are, with their symbol.
EXPORTED = "rnndsl.symbol"
# Attributes of functions of a kernel in modules: the texts in LLVM's language that they call, and
# whether they keep LLVM from putting them into those who call them by themselves.
CALLED = "rnndsl.called"
ALONE = "rnndsl.alone"
# What the symbol of a kernel's plain function ends with.
WORKER = "_worker"
