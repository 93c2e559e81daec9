"""What a YAML may say, as validated values. No torch in here: Snakemake reads it at each parse."""
