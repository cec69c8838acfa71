"""A short run of the coverage-guided fuzzer; a long one is `python -m tests.template.fuzz SECONDS [SEED]`."""

from __future__ import annotations

from tests.template.fuzz import Fuzzer, seeds, tried


def test_changed_templates_are_answered_or_refused() -> None:
    fuzzer = Fuzzer(7, seeds()[::8])
    known, kept = len(fuzzer.lines), len(fuzzer.corpus)
    for _ in range(200):
        fuzzer.run(fuzzer.next())
    # What was kept reached lines that the files did not, so that the search goes somewhere.
    assert len(fuzzer.lines) > known
    assert len(fuzzer.corpus) > kept


def test_the_files_themselves_are_answered() -> None:
    codes = [tried(raw) for raw in seeds()]
    assert set(codes) <= {"", "InvalidTemplate", "DeploymentOutputEvaluationFailed"}
    assert codes.count("") > 40
