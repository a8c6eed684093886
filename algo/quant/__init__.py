"""Post-training quantization: ranges from calibration images, then every integer of ``docs/numerics.md``."""
