"""Coverage-guided fuzzing: `python -m tests.fuzz` with atheris; the suite replays seeds and finds without it."""
