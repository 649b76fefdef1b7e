"""Intel VT-d: `layout` (bits), `names` (words), `records` (faults), `model` (hardware) and `driver` (software)."""
