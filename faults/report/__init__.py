"""Many faults in one report: who, where, when, what is new, and what was lost."""
