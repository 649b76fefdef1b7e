"""Arm SMMUv1 and SMMUv2 (MMU-400, MMU-401, MMU-500): layout, driver, model, fault records."""
