"""AMD-Vi: `layout` (bits), `names` (words), `records` (events), `model` (hardware) and `driver` (software)."""
