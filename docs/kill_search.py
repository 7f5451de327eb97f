"""Kill a real search at random moments, resume it, and check that nothing was lost.

    python docs/kill_search.py [FOLDER] [CANDIDATES] [KILLS]

The search and its workers are killed together (SIGKILL), as when a machine goes down, and the
same command is given again.  In the end every candidate must have been trained exactly once,
and only trials that ran at the moment of a kill may have been lost and done again.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rnndsl.diagnostics import RnndslError
from rnndsl.search.record import TRAINED, TrialRecord, read_records
from rnndsl.search.storage import Place, load_storage

WORKERS = 2
OPTIONS = "--task parity --hidden 8 --steps 24 --batch 16 --pruner asha --sampler random"


def command(folder: Path, candidates: int) -> list[str]:
    """The search; each candidate is trained for about a second."""
    words = [sys.executable, "-m", "rnndsl", "search", "gated", "--study", str(folder)]
    return [*words, "--trials", str(candidates), "--workers", str(WORKERS), *OPTIONS.split()]


def main(folder: Path, candidates: int, kills: int) -> int:
    """Kill the search so many times, let it end, and tell what became of its trials."""
    generator, began = random.Random(0), time.time()
    for kill in range(1, kills + 1):
        process = subprocess.Popen(
            command(folder, candidates), start_new_session=True, stdout=subprocess.DEVNULL
        )
        try:
            process.wait(timeout=generator.uniform(15, 60))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        print(f"kill {kill}: {dict(count(folder))}", flush=True)
    code = subprocess.run(command(folder, candidates), check=False).returncode
    counts = count(folder)
    texts = Counter(r.text for r in records(folder) if r.kind in TRAINED)
    trained, lost = sum(counts[kind] for kind in TRAINED), counts["orphaned"]
    twice = [text for text, times in texts.items() if times > 1]
    print(f"{trained} trained, {lost} lost and done again, {len(twice)} trained twice")
    print(f"{time.time() - began:,.0f} s, {dict(counts)}")
    good = code == 0 and trained >= candidates and not twice and lost <= WORKERS * kills
    print("nothing was lost" if good else "FAILED")
    return 0 if good else 1


def records(folder: Path) -> list[TrialRecord]:
    """All finished trials."""
    try:
        storage = load_storage(Place(folder))
    except RnndslError:  # it was killed before it had begun
        return []
    return list(read_records(storage.cells.get_trials(deepcopy=False)))


def count(folder: Path) -> Counter[str]:
    """How many trials ended in which way."""
    return Counter(record.kind for record in records(folder))


if __name__ == "__main__":
    given = sys.argv[1:]
    place = Path(given[0]) if given else Path(tempfile.mkdtemp()) / "study"
    numbers = [int(word) for word in given[1:]] + [300, 10][len(given[1:]) :]
    sys.exit(main(place, *numbers))
